from __future__ import annotations

from itertools import permutations, product

from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.crossings import Item, Link, order


def columns_of(counts: list[int], edges: list[tuple[int, int, int]]) -> tuple[list, list]:
    """Columns of lanes and links (column, place, place in the next column)."""
    columns = [[Item("", c, (0.0, 0.0), 9.0) for _ in range(n)] for c, n in enumerate(counts)]
    for column in columns:
        for rank, item in enumerate(column):
            item.rank = item.natural = rank
    links = [Link(columns[c][a], columns[c + 1][b], 1.0) for c, a, b in edges]
    return columns, links


def crossings(places: list[tuple[int, ...]], edges: list[tuple[int, int, int]]) -> int:
    """Crossings when element e of column c stands at places[c][e], by comparing all pairs."""
    count = 0
    for i, (c, a, b) in enumerate(edges):
        for d, e, f in edges[:i]:
            left = places[c][a] - places[d][e] if c == d else 0
            right = places[c + 1][b] - places[d + 1][f] if c == d else 0
            count += left * right < 0
    return count


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)), max_size=7))
def test_small_graphs_get_nearly_the_fewest_crossings(edges: list[tuple[int, int, int]]) -> None:
    columns, links = columns_of([3, 3, 3], edges)
    elements = [list(column) for column in columns]
    order(columns, links)
    got = crossings([tuple(item.rank for item in column) for column in elements], edges)
    every = product(*[list(permutations(range(3)))] * 3)
    assert got <= min(crossings(list(places), edges) for places in every) + 1


def test_a_crossing_that_can_be_avoided_is_avoided() -> None:
    columns, links = columns_of([2, 2], [(0, 0, 1), (0, 1, 0)])
    order(columns, links)
    first, second = links
    assert (first.left.rank - second.left.rank) * (first.right.rank - second.right.rank) > 0


def test_nodes_keep_their_natural_order_where_nothing_speaks_against_it() -> None:
    columns, links = columns_of([1, 3], [(0, 0, 0), (0, 0, 1), (0, 0, 2)])
    for item in columns[1]:
        item.node = True
    order(columns, links)
    assert [item.natural for item in columns[1]] == [0, 1, 2]


def test_the_order_is_the_same_every_time() -> None:
    edges = [(0, a, b) for a, b in product(range(4), range(4)) if (a * b) % 3 == 1]
    runs = []
    for _ in range(2):
        columns, links = columns_of([4, 4], edges)
        order(columns, links)
        runs.append([[item.natural for item in column] for column in columns])
    assert runs[0] == runs[1]
