from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from nas.app import inherit
from nas.app.inherit import copy_weights, trained_supernet
from nas.arch import from_genotype
from nas.dataspec import DataSpec
from nas.decision import Choice
from nas.errors import ConfigError, NasError
from nas.searchable import apply_partial_channels
from nas.space import sample
from nas.store.folder import RunFolder
from nas.supernet import Supernet
from search_spaces.darts import DartsSpace

DATA = DataSpec((3, 16, 16), "classes", 10)
PLAIN = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")


def space(width: int = 4, operations: tuple[str, ...] = PLAIN) -> DartsSpace:
    return DartsSpace(
        DATA,
        channels=4,
        cells=3,
        nodes=2,
        operations=operations,
        network_channels=width,
        network_cells=3,
    )


def trained(made: DartsSpace, partial: int | None = None) -> Supernet:
    """A supernet whose batch normalizations have seen data."""
    net = made.supernet()
    if partial:
        apply_partial_channels(net, partial)
    supernet = Supernet(net)
    arch = from_genotype(supernet.decisions, genotype(made))
    for _ in range(3):
        supernet(torch.randn(8, 3, 16, 16), arch)
    return supernet.eval()


def genotype(made: DartsSpace, seed: int = 0) -> dict[str, Choice]:
    return sample(made, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_the_same_form_computes_what_the_supernet_did(seed: int) -> None:
    made = space()
    choices = genotype(made, seed)
    supernet = trained(made)
    arch = from_genotype(supernet.decisions, choices)
    network = made.network(choices).eval()
    x = torch.randn(4, 3, 16, 16)
    before = network(x)
    copy_weights(supernet.freeze(arch).state_dict(), network)
    torch.testing.assert_close(network(x), supernet(x, arch), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(x), before)


def test_other_widths_are_refused_with_both_shapes() -> None:
    made = space(width=8)
    choices = genotype(made)
    supernet = trained(made)
    frozen = supernet.freeze(from_genotype(supernet.decisions, choices))
    with pytest.raises(NasError, match=r"\(12, 3, 3, 3\) in the supernet and \(24, 3, 3, 3\) in"):
        copy_weights(frozen.state_dict(), made.network(choices))


@pytest.mark.parametrize(
    ("operations", "partial", "said"),
    [
        (("none", "max_pool_3x3", "avg_pool_3x3"), None, "is not in the network"),
        (PLAIN, 4, "is not in the supernet"),
    ],
    ids=["normalized pooling", "partial channels"],
)
def test_other_forms_are_refused(
    operations: tuple[str, ...], partial: int | None, said: str
) -> None:
    made = space(operations=operations)
    choices = genotype(made)
    supernet = trained(made, partial)
    frozen = supernet.freeze(from_genotype(supernet.decisions, choices))
    network = made.network(choices)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(NasError, match=re.escape(said)):
        copy_weights(frozen.state_dict(), network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_only_scale_and_shift_of_a_normalization_may_be_missing() -> None:
    source = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False))
    target = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    copy_weights(source.state_dict(), target)
    assert torch.equal(target[0].weight, source[0].weight)
    with pytest.raises(NasError, match=r"0\.bias is not in the supernet \(1 such"):
        copy_weights(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False)).state_dict(), target[:1])


def test_a_runs_own_file_allows_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inheriting from a run of somebody else must not load what its config names."""
    monkeypatch.setattr(inherit, "last_of", lambda run: None)
    text = "space: {_target_: shutil.copy}\ndata: {}\nplugins: [shutil]\n"
    (tmp_path / "config.yaml").write_text(text)
    session: Any = SimpleNamespace(cfg=OmegaConf.create({"plugins": [], "device": "cpu"}))
    with pytest.raises(ConfigError, match=r"add plugins=\[shutil\]"):
        trained_supernet(RunFolder(tmp_path), session)
