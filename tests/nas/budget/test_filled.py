"""Ladders that are raised: as far as the limits allow, and as the policy would have it."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import Arch, Weights
from nas.budget import Limits, filled
from nas.decision import Decision, Genotype, neighbors

LADDERS = {
    d.name: d
    for d in (
        Decision("width", (0.25, 0.5, 1.0), "nested"),
        Decision("bits", (2, 4, 8), "nested"),
        Decision("filters", (0, 1), "nested", groups=2),
    )
}
ROWS = {"width": 1, "bits": 1, "filters": 2}


def arch_of(numbers: list[float]) -> Arch:
    found, start = {}, 0
    for name, d in LADDERS.items():
        size = ROWS[name] * len(d)
        logits = torch.tensor(numbers[start : start + size]).view(ROWS[name], len(d))
        found[name] = Weights(logits.softmax(-1), tuple(range(len(d))))
        start += size
    return found


def cost_of(choices: Genotype) -> dict[str, float]:
    """With a product, so that what one ladder costs depends on another."""
    width, bits = float(choices["width"]), float(choices["bits"])  # type: ignore[arg-type]
    return {"bitops": width * bits + 3 * sum(choices["filters"]), "macs": width}  # type: ignore[arg-type]


LEAST: Genotype = {"width": 0.25, "bits": 2, "filters": (0, 0)}
ALL = [
    {"width": w, "bits": b, "filters": f}
    for w, b, f in product((0.25, 0.5, 1.0), (2, 4, 8), product((0, 1), repeat=2))
]
logits = st.lists(st.floats(-200.0, 200.0, width=32), min_size=10, max_size=10)


@given(logits, st.sampled_from(ALL), st.floats(0.5, 15.0), st.floats(0.25, 1.0))
def test_limits_hold_and_nothing_can_be_raised_any_more(
    numbers: list[float], start: Genotype, bitops: float, macs: float
) -> None:
    limits = Limits({"bitops": bitops, "macs": macs}, cost_of)
    if not limits.met(start):
        start = LEAST
    found = filled(LADDERS, arch_of(numbers), start, limits)
    assert limits.met(found)
    for name, d in LADDERS.items():
        before, after = d.positions(start[name]), d.positions(found[name])
        assert all(old <= new for old, new in zip(before, after, strict=True))
        for other in neighbors(d, found[name]):
            if sum(map(sum, d.positions(other))) > sum(map(sum, after)):
                assert not limits.met({**found, name: other})


@pytest.mark.parametrize(("likelier", "expected"), [("width", (1.0, 2)), ("bits", (0.25, 8))])
def test_what_the_policy_minds_least_is_raised_first(
    likelier: str, expected: tuple[float, int]
) -> None:
    """There is room for one of the two."""
    rows = {"width": [3.0, 0.0, 0.0], "bits": [3.0, 0.0, 0.0]}
    rows[likelier] = [3.0, 2.0, 2.5]
    arch = arch_of([*rows["width"], *rows["bits"], 9.0, 0.0, 9.0, 0.0])
    found = filled(LADDERS, arch, LEAST, Limits({"bitops": 2.0}, cost_of))
    assert (found["width"], found["bits"]) == expected
    assert found["filters"] == (0, 0)


def test_a_step_that_lowers_a_cost_makes_room_for_others() -> None:
    """A layer of high rank costs more than a dense one: what did not fit before it does after."""
    ladders = {
        d.name: d
        for d in (
            Decision("width", (0.25, 1.0), "nested"),
            Decision("rank", (0.5, "full"), "nested"),
        )
    }

    def cost(choices: Genotype) -> dict[str, float]:
        return {"macs": (100 if choices["width"] == 0.25 else 200) + ranks[choices["rank"]]}

    ranks: dict[object, float] = {0.5: 555.0, "full": 324.0}
    arch = {name: Weights(torch.tensor([[0.5, 0.5]]), (0, 1)) for name in ladders}
    arch["width"] = Weights(torch.tensor([[0.4, 0.6]]), (0, 1))  # is tried first, and does not fit
    found = filled(ladders, arch, {"width": 0.25, "rank": 0.5}, Limits({"macs": 700}, cost))
    assert found == {"width": 1.0, "rank": "full"}
