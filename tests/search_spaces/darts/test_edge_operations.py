"""Edges with candidates of their own, and the test spaces S1 to S4 (arXiv 1909.09656)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nas.arch import Weights
from nas.cli.known_spaces import build, find
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import SpaceError
from nas.export.base import WRITTEN
from nas.export.run import RANDOM, export_all
from nas.searchable.primitives import Noise
from nas.searchable.recompute import recomputed
from nas.space import enumerate_genotypes, sample, size
from nas.supernet import Supernet
from nas.testing.draws import EqualDraws
from search_spaces.darts import DartsSpace
from search_spaces.ops import operation

DATA = DataSpec((3, 8, 8), "classes", 5)
SMALL: dict[str, Any] = {"channels": 4, "cells": 3, "network_channels": 4, "network_cells": 3}
OWN = {"normal/0->2": ("none", "max_pool_3x3"), "reduce/1->2": ("dil_conv_3x3", "avg_pool_3x3")}
SPACE = DartsSpace(
    DATA, nodes=1, operations=("none", "skip_connect", "sep_conv_3x3"), edge_operations=OWN, **SMALL
)


def test_an_edge_has_its_own_candidates_in_supernet_and_genotype() -> None:
    slots = Supernet(SPACE.supernet()).decisions
    assert slots["normal/0->2"] == Decision("normal/0->2", OWN["normal/0->2"])
    assert SPACE.decisions["normal/0->2"].candidates == ("max_pool_3x3",)
    assert slots["normal/1->2"].candidates == ("none", "skip_connect", "sep_conv_3x3")
    assert size(SPACE) == len(enumerate_genotypes(SPACE)) == (1 * 2) * (2 * 2)


def test_derivation_and_text_use_the_edge_s_own_operations() -> None:
    rows = {name: d.candidates for name, d in Supernet(SPACE.supernet()).decisions.items()}
    arch = {
        name: Weights(torch.arange(1.0, len(row) + 1)[None].flip(-1), tuple(range(len(row))))
        for name, row in rows.items()
        if not name.endswith("inputs")
    }
    found = SPACE.discretize(arch)
    assert found["normal/0->2"] == "max_pool_3x3"
    assert found["reduce/1->2"] == "dil_conv_3x3"
    assert SPACE.parse(SPACE.format(found)) == found
    cells = SPACE.format(found).replace("'max_pool_3x3'", "'sep_conv_3x3'")
    with pytest.raises(SpaceError, match="which has max_pool_3x3 on the edge normal/0->2"):
        SPACE.parse(cells)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"normal/0->3": ["noise"]}, "no edge 'normal/0->3' in cells of 1 nodes; edges are normal"),
        ({"normal/0->2": ["none"]}, r"edge_operations\[normal/0->2\] needs at least one operation"),
        ({"normal/0->2": ["nois"]}, "unknown operation 'nois'.*did you mean 'noise'"),
    ],
)
def test_what_is_no_edge_or_no_operation_is_told(own: dict[str, list[str]], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        DartsSpace(DATA, nodes=1, edge_operations=own, **SMALL)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("darts_s2", ("skip_connect", "sep_conv_3x3")),
        ("darts_s3", ("none", "skip_connect", "sep_conv_3x3")),
        ("darts_s4", ("noise", "sep_conv_3x3")),
    ],
)
def test_shipped_spaces_have_their_operations_on_every_edge(
    name: str, candidates: tuple[str, ...]
) -> None:
    slots = Supernet(build(find(name).settings("preset=smoke")).supernet()).decisions
    edges = [d for n, d in slots.items() if not n.endswith("inputs")]
    assert len(edges) == 28
    assert {edge.candidates for edge in edges} == {candidates}


def test_s1_has_two_operations_of_its_own_on_every_edge() -> None:
    space = build(find("darts_s1").settings("preset=smoke"))
    edges = {n: d for n, d in space.decisions.items() if not n.endswith("inputs")}  # type: ignore[attr-defined]
    assert len(edges) == 28
    assert all(len(edge) == 2 for edge in edges.values())
    assert edges["normal/0->2"].candidates == ("skip_connect", "dil_conv_3x3")
    assert edges["normal/4->5"].candidates == ("dil_conv_3x3", "dil_conv_5x5")
    assert edges["reduce/1->3"].candidates == ("max_pool_3x3", "avg_pool_3x3")
    kinds = {kind: [d for n, d in edges.items() if n.startswith(kind)] for kind in ("n", "r")}
    skips = {kind: sum("skip_connect" in d.candidates for d in kinds[kind]) for kind in kinds}
    assert skips == {"n": 12, "r": 6}
    genotype = sample(space, torch.Generator().manual_seed(0))
    assert space.network(genotype)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_noise_is_standard_normal_new_at_every_call_and_blind_to_its_input() -> None:
    noise = operation("noise", 4, 2).eval()
    x = torch.full((50, 4, 33, 31), 1e6)
    y = noise(x)
    assert y.shape == (50, 4, 17, 16)
    assert abs(float(y.mean())) < 0.02
    assert abs(float(y.std()) - 1) < 0.02
    assert not torch.equal(noise(x), y)
    with EqualDraws():
        assert torch.equal(noise(x), noise(-x))
    assert not list(noise.parameters())
    assert operation("noise", 2, 1, dims=1)(torch.zeros(3, 2, 5)).shape == (3, 2, 5)


def test_a_network_with_noise_is_not_exported_and_the_record_says_why(tmp_path: Path) -> None:
    space = DartsSpace(DATA, nodes=1, operations=("noise", "sep_conv_3x3"), **SMALL)
    genotypes = enumerate_genotypes(space)
    drawn = next(g for g in genotypes if "noise" in g.values())
    plain = next(g for g in genotypes if "noise" not in g.values())
    for genotype, status in ((drawn, RANDOM), (plain, WRITTEN)):
        network = space.network(genotype).eval()
        (record,) = export_all(network, "{}", (3, 8, 8), tmp_path / "out", ["safetensors"])
        assert record.status == status
        assert (record.path is None) == (genotype is drawn)


def test_recomputation_draws_the_same_noise_again() -> None:
    noise, weight = Noise(1), torch.tensor(2.0, requires_grad=True)
    x = torch.randn(4, 3, 5, requires_grad=True)
    y = recomputed(noise, lambda value: weight * noise(value), x)
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    torch.testing.assert_close(gradient, y.sum().detach() / 2)
