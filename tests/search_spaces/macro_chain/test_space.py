from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nas.dataspec import DataSpec
from nas.errors import GenotypeError, SpaceError
from nas.searchable import apply_partial_channels
from nas.space import enumerate_genotypes, size
from search_spaces.macro_chain import MacroChainSpace

SPACE = MacroChainSpace(DataSpec((3, 8, 8), "classes", 10), 2, 2, 6)


def test_every_genotype_has_a_text_that_reads_back() -> None:
    found = enumerate_genotypes(SPACE)
    assert len(found) == size(SPACE) == 3**8
    texts = [SPACE.format(genotype) for genotype in found]
    assert len(set(texts)) == len(texts)
    assert [SPACE.parse(text) for text in texts] == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macro_chain:2221220", "macro_chain: and 8 digits, as in macro_chain:11111111"),
        ("22212202", "8 digits"),
        (
            "macro_chain:22312202",
            "layer3 of .*: '3' is none of its candidates, 0 identity, 1 mbconv_k3_e3",
        ),
        ("macro_chain:2221220²", "layer8"),
    ],
)
def test_a_wrong_text_is_told_where(text: str, said: str) -> None:
    with pytest.raises(GenotypeError, match=said):
        SPACE.parse(text)


def test_a_block_widens_filters_narrows_and_adds_its_input() -> None:
    net = SPACE.network(SPACE.parse("macro_chain:01000000")).double().eval()
    block = net.layers[1]
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    # a fresh batch normalization in evaluation only divides by sqrt(1 + eps)
    scale = (1 + net.stem.norm.eps) ** -0.5
    y = F.conv2d(x, block.widen.conv.weight).relu() * scale
    y = F.conv2d(y, block.depthwise.conv.weight, padding=1, groups=12).relu() * scale
    y = F.conv2d(y, block.narrow.conv.weight) * scale
    torch.testing.assert_close(block(x), x + y)


def test_layers_one_three_and_six_halve_the_size_and_double_the_channels() -> None:
    net = SPACE.network(SPACE.parse("macro_chain:00000000"))
    x, shapes = net.stem(torch.zeros(2, 3, 16, 16)), []
    for layer in net.layers:
        x = layer(x)
        shapes.append((x.shape[1], x.shape[2]))
    assert shapes == [(4, 8)] * 2 + [(8, 4)] * 3 + [(16, 2)] * 3


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(SpaceError, match=r"space.last_channels must be at least 1, got 0"):
        MacroChainSpace(SPACE.data, last_channels=0)
    with pytest.raises(SpaceError, match=r"set strategy.partial_channels=null"):
        apply_partial_channels(SPACE.supernet(), 2)
