"""Fronts and hypervolumes: against counting the cells of a grid."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.pareto import front, hypervolume

SIDE = 5
WHOLE = st.integers(0, SIDE)


def points_of(dims: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    return st.lists(st.tuples(*[WHOLE.map(float)] * dims), min_size=1, max_size=7)


@given(st.integers(1, 4).flatmap(points_of))
def test_the_volume_is_the_number_of_cells_below_a_point(points: list[tuple[float, ...]]) -> None:
    dims = len(points[0])
    cells = sum(
        any(all(c + 1 <= x for c, x in zip(cell, point, strict=True)) for point in points)
        for cell in product(range(SIDE), repeat=dims)
    )
    assert hypervolume(points, (0.0,) * dims) == cells
    kept = [points[place] for place in front(points)]
    assert hypervolume(kept, (0.0,) * dims) == cells  # dominated points add nothing


@given(points_of(3))
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, ...]]) -> None:
    kept = set(front(points))
    for place, point in enumerate(points):
        beaten = any(
            other != point and all(a >= b for a, b in zip(other, point, strict=True))
            for other in points
        )
        assert (place in kept) == (not beaten)


def test_a_known_volume_and_what_lies_outside_the_reference() -> None:
    assert hypervolume([(2.0, 1.0), (1.0, 3.0)], (0.0, 0.0)) == 4.0
    assert hypervolume([(2.0, -1.0), (0.0, 3.0)], (0.0, 0.0)) == 0.0
    assert hypervolume([], (0.0, 0.0)) == 0.0
    with pytest.raises(ValueError, match="3 objectives"):
        hypervolume([(1.0, 2.0)], (0.0, 0.0, 0.0))
