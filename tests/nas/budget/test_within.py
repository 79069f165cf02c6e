"""Derivation under limits against enumeration, on spaces small enough to list."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.arch import Arch, Weights
from nas.budget import Limits, cheapest, within
from nas.cost_tree import Alternatives, Leaf, Sum
from nas.costs import TreeCost
from nas.decision import Decision, Genotype

NAMES, CANDIDATES = ("a", "b", "c", "d"), ("s", "m", "l")


class Four:
    """Four independent decisions; no networks."""

    name = "four"

    def __init__(self) -> None:
        self.decisions = {name: Decision(name, CANDIDATES) for name in NAMES}

    def supernet(self) -> nn.Module:
        raise NotImplementedError

    def network(self, genotype: Genotype) -> nn.Module:
        raise NotImplementedError


SPACE: Any = Four()
ALL = [dict(zip(NAMES, row, strict=True)) for row in product(CANDIDATES, repeat=4)]
rows = st.lists(st.lists(st.floats(0.5, 9.0), min_size=3, max_size=3), min_size=4, max_size=4)


def cost(name: str, table: list[list[float]]) -> TreeCost:
    parts = tuple(
        Alternatives(decision, tuple(map(Leaf, row)))
        for decision, row in zip(NAMES, table, strict=True)
    )
    return TreeCost(name, "unit", Sum(parts))


def limits_of(costs: dict[str, TreeCost], maxima: dict[str, float]) -> Limits:
    def of(choices: Genotype) -> dict[str, float]:
        chosen = {name: SPACE.decisions[name].positions(choices[name])[0] for name in NAMES}
        return {name: each.exact(chosen) for name, each in costs.items()}

    return Limits(maxima, of)


def arch_of(logits: list[list[float]]) -> Arch:
    return {
        name: Weights(torch.tensor([row]).softmax(-1), (0, 1, 2))
        for name, row in zip(NAMES, logits, strict=True)
    }


def preference(arch: Arch, choices: Genotype) -> float:
    total = 0.0
    for name in NAMES:
        weights = arch[name]
        assert isinstance(weights, Weights)
        total += float(weights.row[CANDIDATES.index(str(choices[name]))].log())
    return total


@settings(max_examples=80, deadline=None)
@given(one=rows, two=rows, logits=rows, share=st.floats(0.0, 1.0))
def test_limits_hold_wherever_an_architecture_keeps_to_them(
    one: list[list[float]], two: list[list[float]], logits: list[list[float]], share: float
) -> None:
    costs = {"one": cost("one", one), "two": cost("two", two)}
    free = limits_of(costs, {"one": 1.0, "two": 1.0})
    known = [free.cost_of(choices) for choices in ALL]
    # At one of the architectures, so that at least that one is within both limits.
    edge = known[round(share * (len(ALL) - 1))]
    limits = limits_of(costs, {name: value * (1 + 1e-9) for name, value in edge.items()})
    arch = arch_of(logits)
    found = within(SPACE, arch, costs, limits)
    inside = [choices for choices in ALL if limits.met(choices)]
    best = max(inside, key=lambda choices: preference(arch, choices))
    if len(inside) > 3:  # coordinate descent may miss a needle; within one limit it never does
        assert found.excess <= 0
    if limits.met(found.plain):
        assert found.choices == found.plain == best
    if found.excess <= 0:
        assert preference(arch, found.choices) <= preference(arch, best) + 1e-6


@settings(max_examples=60, deadline=None)
@given(table=rows, logits=rows, share=st.floats(0.0, 1.0))
def test_one_limit_holds_and_the_choice_is_near_the_best(
    table: list[list[float]], logits: list[list[float]], share: float
) -> None:
    costs = {"one": cost("one", table)}
    values = sorted(limits_of(costs, {"one": 1.0}).cost_of(c)["one"] for c in ALL)
    most = values[round(share * (len(values) - 1))] * (1 + 1e-9)
    limits = limits_of(costs, {"one": most})
    arch = arch_of(logits)
    found = within(SPACE, arch, costs, limits)
    assert found.excess <= 0
    ranked = sorted((c for c in ALL if limits.met(c)), key=lambda c: -preference(arch, c))
    gap = preference(arch, ranked[0]) - preference(arch, found.choices)
    # A Lagrangian finds points of the convex hull alone; one decision may lie beside it.
    spread = max(max(row) - min(row) for row in logits)
    assert gap <= spread + 1e-5


def test_what_is_out_of_reach_is_missed_by_the_least() -> None:
    table = [[1.0, 2.0, 3.0]] * 4
    costs = {"one": cost("one", table)}
    limits = limits_of(costs, {"one": 2.0})
    found = within(SPACE, arch_of([[0.0, 1.0, 2.0]] * 4), costs, limits)
    assert found.choices == dict.fromkeys(NAMES, "s")
    assert found.excess == pytest.approx(1.0)
    assert found.plain == dict.fromkeys(NAMES, "l")
    assert found.plain_excess == pytest.approx(5.0)


@settings(max_examples=40, deadline=None)
@given(table=rows)
def test_the_cheapest_is_what_enumeration_finds(table: list[list[float]]) -> None:
    limits = limits_of({"one": cost("one", table)}, {"one": 10.0})
    found, excess = cheapest(SPACE, limits)
    assert excess == pytest.approx(min(map(limits.excess, ALL)))
    assert limits.excess(found) == excess


def test_what_was_found_before_the_search_is_found_whatever_it_derives() -> None:
    """Two costs with one needle within both; a start of the caller's must not move the others."""
    one, two = [[1.0, 2.0, 3.0]] * 4, [[3.0, 2.0, 1.0]] * 4
    limits = limits_of({"one": cost("one", one), "two": cost("two", two)}, {"one": 8.0, "two": 8.0})
    alone = cheapest(SPACE, limits, enough=0.0)
    assert alone[1] <= 0
    for choices in ALL:
        assert cheapest(SPACE, limits, choices, enough=0.0)[1] <= 0


def test_probable_choices_stay_where_there_is_room() -> None:
    # Cutting d alone saves enough, and d is the decision that the policy cares least about.
    costs = {"one": cost("one", [[1.0, 1.0, 4.0]] * 4)}
    limits = limits_of(costs, {"one": 13.0})
    arch = arch_of([[0.0, 0.0, 5.0], [0.0, 0.0, 4.0], [0.0, 0.0, 3.0], [0.0, 0.1, 0.5]])
    assert within(SPACE, arch, costs, limits).choices == {"a": "l", "b": "l", "c": "l", "d": "m"}


def test_of_two_limits_on_one_cost_the_lower_holds() -> None:
    limits = Limits({"macs": 5.0, "params": 3.0}, lambda choices: {"macs": 4.0, "params": 1.0})
    assert limits.tightened("macs", 3.0).maxima == {"macs": 3.0, "params": 3.0}
    assert limits.tightened("macs", 7.0).maxima == {"macs": 5.0, "params": 3.0}
    assert limits.tightened("bitops", 7.0).maxima["bitops"] == 7.0
    assert limits.met({})
    assert not limits.tightened("macs", 3.0).met({})
