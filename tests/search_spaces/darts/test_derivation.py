from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.arch import Weights
from search_spaces.darts.derivation import derive

OPERATIONS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")


def weights(row: Tensor) -> Weights:
    return Weights(row[None], tuple(range(len(row))))


def arch_of(
    alphas: dict[str, Tensor], betas: dict[str, Tensor] | None = None
) -> dict[str, Weights]:
    """One kind's weights, for both kinds."""
    found = {}
    for kind in ("normal", "reduce"):
        found |= {f"{kind}/{edge}": weights(row) for edge, row in alphas.items()}
        found |= {f"{kind}/{node}/inputs": weights(row) for node, row in (betas or {}).items()}
    return found


def uniform() -> dict[str, Tensor]:
    edges = [f"{i}->{node}" for node in (2, 3) for i in range(node)]
    return {edge: torch.full((4,), 0.25) for edge in edges}


@given(st.integers(0, 2**31), st.booleans())
def test_against_the_rule_written_out(seed: int, normalized: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    nodes = 3
    arch = {}
    for kind in ("normal", "reduce"):
        for node in range(2, 2 + nodes):
            for i in range(node):
                row = torch.randn(4, generator=generator).mul(2).softmax(-1)
                arch[f"{kind}/{i}->{node}"] = weights(row)
            if normalized:
                row = torch.randn(node, generator=generator).softmax(-1)
                arch[f"{kind}/node{node}/inputs"] = weights(row)
    found = derive(arch, nodes, OPERATIONS)
    expected = {}
    for kind in ("normal", "reduce"):
        for node in range(2, 2 + nodes):
            ranked = []
            for i in range(node):
                p = arch[f"{kind}/{i}->{node}"].values[0].tolist()
                b = arch[f"{kind}/node{node}/inputs"].values[0, i].item() if normalized else 1.0
                ranked.append((b * max(p[1:]), i, OPERATIONS[1 + p[1:].index(max(p[1:]))]))
            best = sorted(ranked)[-2:]
            expected[f"{kind}/node{node}/inputs"] = tuple(sorted(i for _, i, _ in best))
            expected |= {f"{kind}/{i}->{node}": operation for _, i, operation in best}
    assert found == expected


def test_a_large_none_lowers_an_edge_and_is_never_chosen() -> None:
    alphas = uniform()
    alphas["0->3"] = torch.tensor([0.9, 0.04, 0.03, 0.03])  # strong, but in nothing
    alphas["1->3"] = torch.tensor([0.4, 0.15, 0.15, 0.3])
    alphas["2->3"] = torch.tensor([0.6, 0.1, 0.2, 0.1])
    found = derive(arch_of(alphas), 2, OPERATIONS)
    assert found["normal/node3/inputs"] == (1, 2)
    assert found["normal/1->3"] == "sep_conv_3x3"
    assert found["normal/2->3"] == "skip_connect"
    assert "none" not in found.values()


def test_ties_go_to_the_smaller_index() -> None:
    found = derive(arch_of(uniform()), 2, OPERATIONS)
    assert found["normal/node3/inputs"] == (0, 1)
    assert found["normal/0->3"] == "max_pool_3x3"


def test_the_product_with_the_edge_weights_decides() -> None:
    alphas = uniform()
    alphas["0->3"] = torch.tensor([0.1, 0.1, 0.1, 0.7])
    alphas["1->3"] = torch.tensor([0.1, 0.1, 0.6, 0.2])
    alphas["2->3"] = torch.tensor([0.1, 0.5, 0.2, 0.2])
    assert derive(arch_of(alphas), 2, OPERATIONS)["reduce/node3/inputs"] == (0, 1)
    betas = {"node2": torch.tensor([0.5, 0.5]), "node3": torch.tensor([0.1, 0.3, 0.6])}
    # products 0.07, 0.18, 0.30
    assert derive(arch_of(alphas, betas), 2, OPERATIONS)["reduce/node3/inputs"] == (1, 2)


def test_edges_that_were_not_executed_lose_to_all_that_were() -> None:
    alphas = uniform()
    del alphas["0->3"]
    alphas["2->3"] = torch.tensor([0.97, 0.01, 0.01, 0.01])
    assert derive(arch_of(alphas), 2, OPERATIONS)["normal/node3/inputs"] == (1, 2)


def test_rows_may_come_without_none() -> None:
    alphas = {edge: row[1:] for edge, row in uniform().items()}
    alphas["1->2"] = torch.tensor([0.1, 0.1, 0.8])
    found = derive(arch_of(alphas), 2, OPERATIONS)
    assert found["normal/1->2"] == "sep_conv_3x3"


def test_rows_of_another_length_are_not_guessed_at() -> None:
    alphas = {**uniform(), "1->2": torch.full((2,), 0.5)}
    with pytest.raises(ValueError, match="zip"):
        derive(arch_of(alphas), 2, OPERATIONS)
