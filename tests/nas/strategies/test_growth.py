"""In which order candidates come in, on spaces and on decisions made for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Controller, Uniform
from nas.searchable import candidate
from nas.space import decisions_of
from nas.strategies.growth import Growth, growths
from nas.supernet import Slot, Supernet
from search_spaces.darts import DartsSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space

SPEC = DataSpec((3, 32, 32), "classes", 10)


class Choices(nn.Module):
    """Slots alone; of every decision the candidates named in ``heavy`` hold a weight."""

    def __init__(self, decisions: Sequence[Decision], heavy: Sequence[str] = ()) -> None:
        super().__init__()
        self.slots = nn.ModuleList(map(Slot, decisions))
        self.parts = nn.ModuleList(
            candidate(nn.Linear(1, 1), decision.name, name)
            for decision in decisions
            for name in heavy
        )


def net(*decisions: Decision, heavy: Sequence[str] = ()) -> Supernet:
    return Supernet(Choices(decisions, heavy))


OPS = Decision("op", ("none", "pool", "conv3", "conv5"))


@given(
    count=st.integers(2, 9),
    least=st.integers(1, 3),
    stages=st.integers(1, 12),
    closed=st.sets(st.integers(0, 8)),
)
def test_every_stage_holds_the_one_before_and_the_last_one_everything(
    count: int, least: int, stages: int, closed: set[int]
) -> None:
    mask = torch.tensor([[place not in closed for place in range(count)]])
    columns = mask[0].nonzero().flatten().tolist()
    if len(columns) < least:
        return
    growth = Growth(mask, tuple(reversed(columns)), least)
    seen = [growth.allowed(stage, stages) for stage in range(stages)]
    assert torch.equal(seen[-1], mask)
    assert stages == 1 or int(seen[0].sum()) == least
    for before, after in pairwise(seen):
        assert bool((after | ~before).all())
        if stages == len(columns) - least + 1:
            assert int(after.sum() - before.sum()) == 1


@pytest.mark.parametrize(
    ("space", "first", "longest"),
    [
        (DartsSpace(SPEC, channels=4, cells=3), "sep_conv_3x3", 7),
        (NasBench201Space(SPEC, channels=4, cells=1), "nor_conv_1x1", 5),
        (MobileSpace(SPEC, channels=8), "mbconv_k3_e3", 7),
    ],
    ids=["darts", "nasbench201", "mobile"],
)
def test_spaces_begin_with_an_operation_that_learns(space, first: str, longest: int) -> None:  # type: ignore[no-untyped-def]
    supernet = Supernet(space.supernet())
    policy = Uniform(supernet.decisions, kept=decisions_of(space))
    found = growths(policy, supernet, "operations", None, 0)
    starts = {policy.decisions[name].candidates[growth.order[0]] for name, growth in found.items()}
    assert starts == {first}
    assert max(len(growth.order) for growth in found.values()) == longest
    assert not any(name.endswith("inputs") for name in found)


def test_decisions_with_the_same_candidates_grow_alike_and_seeds_differ() -> None:
    names = [f"op{place}" for place in range(8)]
    same = [Decision(str(place), tuple(names)) for place in range(3)]
    supernet, orders = net(*same), set()
    for seed in range(6):
        found = growths(Uniform(supernet.decisions), supernet, "operations", None, seed)
        assert len({growth.order for growth in found.values()}) == 1
        assert sorted(found["0"].order) == list(range(8))
        orders.add(found["0"].order)
        again = growths(Uniform(supernet.decisions), supernet, "operations", None, seed)
        assert again["1"].order == found["1"].order
    assert len(orders) == 6


def test_names_given_first_come_first() -> None:
    supernet = net(OPS, heavy=["conv3", "conv5"])
    policy = Uniform(supernet.decisions)
    assert growths(policy, supernet, "operations", None, 0)["op"].order[0] == 2
    chosen = growths(policy, supernet, "operations", ["conv5", "none"], 0)
    assert chosen["op"].order[:2] == (3, 0)
    free = {growths(policy, supernet, "operations", [], seed)["op"].order[0] for seed in range(9)}
    assert len(free) > 1


def test_nodes_let_their_inputs_in_as_they_stand() -> None:
    supernet = Supernet(DartsSpace(SPEC, channels=4, cells=3).supernet())
    found = growths(Controller(supernet.decisions), supernet, "nodes", None, 0)
    growth = found["normal/node5/inputs"]
    assert (growth.order, growth.least) == ((0, 1, 2, 3, 4), 2)
    # Two inputs in stage 1, and one node more in each of the four, as in CNAS's growing of nodes.
    assert [int(growth.allowed(stage, 4).sum()) for stage in range(4)] == [2, 3, 4, 5]
    assert "normal/node2/inputs" not in found  # has two to pick two from


def test_what_is_masked_before_never_comes() -> None:
    supernet = net(OPS)
    policy = Uniform(supernet.decisions)
    policy.set_mask("op", [False, True, True, True])
    growth = growths(policy, supernet, "operations", None, 0)["op"]
    assert 0 not in growth.order
    assert growth.allowed(8, 9).tolist() == [[False, True, True, True]]


@pytest.mark.parametrize(
    ("decisions", "grow", "first", "sentence"),
    [
        ((OPS,), "layers", None, "must be one of operations, nodes, got 'layers'"),
        ((OPS,), "operations", ["conv33"], "no decision has the candidate 'conv33'"),
        ((OPS,), "nodes", None, "strategy.edge_weights=true"),
        ((OPS,), "nodes", ["conv3"], "leave one of the two out"),
        ((Decision("bits", (2, 4, 8), "nested"),), "operations", None, "leave the curriculum out"),
        ((Decision("one", ("a",)),), "operations", None, "no decision between several"),
    ],
)
def test_what_cannot_grow_is_refused(decisions, grow, first, sentence: str) -> None:  # type: ignore[no-untyped-def]
    supernet = net(*decisions)
    with pytest.raises(ConfigError, match=sentence):
        growths(Uniform(supernet.decisions), supernet, grow, first, 0)
