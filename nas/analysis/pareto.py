"""Runs that no other run beats in every objective, and how much of the space they dominate."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, ...]


def front(points: Sequence[Point]) -> list[int]:
    """Places of the points that no other dominates, in their order; larger is better everywhere.

    A point dominates another if it is at least as good in every objective and better in one; of
    equal points all stay.
    """
    return [
        place
        for place, point in enumerate(points)
        if not any(_dominates(other, point) for other in points)
    ]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume between ``reference`` and the points, each objective larger is better.

    Points that are not above the reference in every objective add nothing. Exact, by slices along
    the last objective (Zitzler and Thiele 1998).

    Raises ValueError for points of another number of objectives than the reference.
    """
    if any(len(point) != len(reference) for point in points):
        raise ValueError(f"points need {len(reference)} objectives, as the reference has")
    inside = [p for p in points if all(x > r for x, r in zip(p, reference, strict=True))]
    return _volume(inside, reference)


def _volume(points: Sequence[Point], reference: Point) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return max(point[0] for point in points) - reference[0]
    total = 0.0
    levels = sorted({point[-1] for point in points}, reverse=True)
    for level, below in zip(levels, [*levels[1:], reference[-1]], strict=True):
        top = [point[:-1] for point in points if point[-1] >= level]
        total += (level - below) * _volume(top, reference[:-1])
    return total


def _dominates(one: Point, other: Point) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
