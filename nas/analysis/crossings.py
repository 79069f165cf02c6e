"""Order of the elements of a layered drawing, with few crossing edges."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

_RESTARTS, _SWEEPS = 6, 8


@dataclass
class Item:
    """An element of a column: a node, a label or a free lane; ``y`` is found step by step."""

    name: str
    column: int
    size: tuple[float, float]
    distance: float
    y: float = 0.0
    node: bool = False
    rank: int = 0
    natural: int = 0


@dataclass(frozen=True)
class Link:
    """Two items of neighboring columns that one edge connects."""

    left: Item
    right: Item
    weight: float


def order(columns: list[list[Item]], links: Sequence[Link]) -> None:
    """Order each column with few crossings: barycenter sweeps from several starts, then swaps.

    Deterministic; changes the columns and the rank of each element in place.
    """
    random = Random(0)
    best = _cost(columns, links), [list(column) for column in columns]
    for restart in range(_RESTARTS):
        for column in columns if restart else ():
            random.shuffle(column)
            number(column)
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            for column in columns if forward else reversed(columns):
                _sort(column, links, forward)
            for _ in range(2):  # as it is, and upside down
                best = min(best, (_cost(columns, links), [list(c) for c in columns]), key=_first)
                for column in columns:
                    column.reverse()
                    number(column)
    for column, kept in zip(columns, best[1], strict=True):
        column[:] = kept
        number(column)
    _swap(columns, links)


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]


def _swap(columns: list[list[Item]], links: Sequence[Link]) -> None:
    """Exchange neighbors of a column as long as that lowers the cost."""
    cost, found = _cost(columns, links), True
    while found:
        found = False
        for column in columns:
            for index in range(len(column) - 1):
                column[index : index + 2] = column[index + 1], column[index]
                number(column)
                trial = _cost(columns, links)
                if trial < cost - 1e-9:
                    cost, found = trial, True
                else:
                    column[index : index + 2] = column[index + 1], column[index]
                    number(column)


def number(column: Sequence[Item]) -> None:
    """Write each element's place in its column into its ``rank``."""
    for rank, item in enumerate(column):
        item.rank = rank


def _sort(column: list[Item], links: Sequence[Link], forward: bool) -> None:
    """Sort a column by the mean rank of each element's neighbors on one side."""

    def center(item: Item) -> float:
        if forward:
            ranks = [k.left.rank for k in links if k.right is item]
        else:
            ranks = [k.right.rank for k in links if k.left is item]
        return sum(ranks) / len(ranks) if ranks else float(item.rank)

    column.sort(key=center)
    number(column)


def _cost(columns: list[list[Item]], links: Sequence[Link]) -> float:
    """Count crossings; bends and nodes out of their natural order add less than one each."""
    cost = sum(0.02 * abs(k.left.rank - k.right.rank) for k in links)
    for column in columns:
        nodes = [item.natural for item in column if item.node]
        cost += 0.3 * sum(a > b for i, a in enumerate(nodes) for b in nodes[i:])
    groups: dict[int, list[tuple[int, int]]] = {}
    for link in links:
        groups.setdefault(link.left.column, []).append((link.left.rank, link.right.rank))
    for group in groups.values():
        for index, (a, b) in enumerate(group):
            cost += sum((a - c) * (b - d) < 0 for c, d in group[index + 1 :])
    return cost
