from __future__ import annotations

import pytest
import torch

from nas.dataspec import DataSpec
from nas.errors import GenotypeError, SpaceError
from nas.space import enumerate_genotypes, size
from search_spaces.chain import OPERATIONS, ChainSpace

SPACE = ChainSpace(DataSpec((1, 8, 8), "classes", 10))


def test_every_genotype_has_a_text_that_reads_back() -> None:
    found = enumerate_genotypes(SPACE)
    assert len(found) == size(SPACE) == 4**5
    texts = [SPACE.format(genotype) for genotype in found]
    assert len(set(texts)) == len(texts)
    assert [SPACE.parse(text) for text in texts] == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chain:2030", "chain: and 5 digits, as in chain:11111; got 'chain:2030'"),
        ("chain:203021", "5 digits"),
        ("20302", "5 digits"),
        (
            "chain:20402",
            "layer3 of 'chain:20402': '4' is none of its candidates, 0 skip_connect, 1 nor",
        ),
        ("chain:2030²", "layer5"),
    ],
)
def test_a_wrong_text_is_told_where(text: str, said: str) -> None:
    with pytest.raises(GenotypeError, match=said):
        SPACE.parse(text)


def test_the_network_is_its_layers_one_after_the_other() -> None:
    genotype = SPACE.parse("chain:01230")
    net = SPACE.network(genotype).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    y = net.stem(x)
    y = torch.nn.functional.max_pool2d(net.layers[1](y), 2)
    y = torch.nn.functional.max_pool2d(net.layers[3](net.layers[2](y)), 2)
    y = net.last(y).mean((2, 3))
    torch.testing.assert_close(net(x), net.classifier(y))
    assert OPERATIONS[1] == genotype["layer2"]
    assert net.last(y[..., None, None]).shape == (2, 8, 1, 1)


def test_no_channels_is_an_error() -> None:
    with pytest.raises(SpaceError, match=r"space.network_channels must be at least 1, got 0"):
        ChainSpace(SPACE.data, network_channels=0)
