"""Layered layout of a small directed graph, left to right, free of overlaps by construction.

Every label is an element of its own column, and an edge that spans several columns owns a free
lane in each of them (after Sugiyama, Tagawa and Toda, 1981). Boxes of one column keep a fixed
distance and curves bend only between columns, so no edge can run through a node or a label.
All lengths are in points; y grows downwards.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx

from nas.analysis.crossings import Item, Link, order
from nas.errors import NasError

Point = tuple[float, float]
Size = tuple[float, float]
_NODE_DISTANCE, _LABEL_DISTANCE, _LANE = 16.0, 7.0, 9.0
_RELAXATIONS = 160
_SOFT = 3.0  # steps above this many points count less and less
_TREMBLE = 7.0  # steps up to this many points are taken out where there is room
_PORTS = 14.0  # height of a node's side over which arriving edges spread


@dataclass(frozen=True)
class Box:
    """A rectangle: center, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """One edge: the points it runs through, straight inside columns, and its label's box."""

    source: str
    target: str
    key: Hashable
    name: str
    points: tuple[Point, ...]
    label: Box | None


@dataclass(frozen=True)
class Layout:
    """Boxes of all nodes, routes of all edges, and the size of the whole."""

    nodes: dict[str, Box]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Chain:
    source: str
    target: str
    key: Hashable
    name: str
    items: list[Item]


def arrange(
    graph: Any, node_size: Callable[[str], Size], label_size: Callable[[str], Size]
) -> Layout:
    """Place the nodes of a directed (multi)graph by longest path and route its edges.

    Args:
        graph: nodes with attribute ``kind``, edges with attribute ``label`` ("" for none).
        node_size: width and height of a node's box.
        label_size: width and height of the box of an edge's label.

    Raises:
        NasError: when the graph has a cycle.
    """
    ranks = _generations(graph)
    nodes = {n: Item(n, 2 * ranks[n], node_size(n), _NODE_DISTANCE, node=True) for n in graph.nodes}
    chains = _chains(graph, nodes, label_size)
    columns = _columns([*nodes.values(), *(i for c in chains for i in c.items[1:-1])])
    links = [_link(a, b) for chain in chains for a, b in pairwise(chain.items)]
    order(columns, links)
    _relax(columns, links)
    _straighten(columns, links)
    items = [item for column in columns for item in column]
    top = min(item.y - item.size[1] / 2 for item in items)
    for item in items:
        item.y -= top
    height = max(item.y + item.size[1] / 2 for item in items)
    spans, width = _spans(columns, links)
    boxes = {n: _box(item, spans) for n, item in nodes.items()}
    ports = _ports(chains)
    routes = [_route(chain, spans, boxes, ports[id(chain)]) for chain in chains]
    return Layout(boxes, tuple(routes), width, height)


def _generations(graph: Any) -> dict[str, int]:
    """Longest path from a source; inputs are first, outputs alone in the last place."""
    if not nx.is_directed_acyclic_graph(graph):
        raise NasError("this graph has a cycle and cannot be drawn; give a cell without cycles.")
    ranks: dict[str, int] = {}
    for node in nx.topological_sort(graph):
        least = 0 if graph.nodes[node].get("kind") == "input" else 1
        ranks[node] = max([least, *(ranks[p] + 1 for p in graph.predecessors(node))])
    last = max(ranks.values(), default=0)
    outputs = [n for n in graph.nodes if graph.nodes[n].get("kind") == "output"]
    inner = max((ranks[n] for n in graph.nodes if n not in outputs), default=0)
    ranks.update((n, max(last, inner + 1)) for n in outputs if not list(graph.successors(n)))
    shift = min(ranks.values(), default=0)
    return {node: rank - shift for node, rank in ranks.items()}


def _chains(graph: Any, nodes: dict[str, Item], label_size: Callable[[str], Size]) -> list[_Chain]:
    """Give every edge an element in each column between its ends; the label is the last one."""
    chains = []
    edges = [(u, v, k, str(d.get("label", ""))) for u, v, k, d in graph.edges(keys=True, data=True)]
    labelled = {nodes[target].column - 1 for _, target, _, name in edges if name}
    for source, target, key, name in edges:
        first, last = nodes[source].column, nodes[target].column
        used = [c for c in range(first + 1, last) if c % 2 == 0 or c in labelled]
        items = [Item("", column, (0.0, 0.0), _LANE) for column in used]
        if name:
            items[-1] = Item(name, last - 1, label_size(name), _LABEL_DISTANCE)
        chains.append(_Chain(source, target, key, name, [nodes[source], *items, nodes[target]]))
    return chains


def _link(left: Item, right: Item) -> Link:
    """Lanes pull hardest, so that long edges come out straight."""
    lanes = (left.size[1] == 0) + (right.size[1] == 0)
    return Link(left, right, (1.0, 3.0, 20.0)[lanes])


def _columns(items: Sequence[Item]) -> list[list[Item]]:
    """Sort elements into columns, numbered without the columns that nothing uses."""
    used = sorted({item.column for item in items})
    columns: list[list[Item]] = [[] for _ in used]
    for item in items:
        item.column = used.index(item.column)
        item.natural = item.rank = len(columns[item.column])
        columns[item.column].append(item)
    return columns


def _relax(columns: list[list[Item]], links: Sequence[Link]) -> None:
    """Find y by least squares over all links, each column kept in order and apart.

    The second half of the sweeps weighs long steps less (reweighted least squares), so that a
    long edge makes one clear bend where it would otherwise climb stairs. The last column stays
    in the middle of what it joins.
    """
    near: dict[int, list[tuple[Item, float, bool]]] = {}
    for link in links:
        bends = link.right.column < len(columns) - 1
        near.setdefault(id(link.left), []).append((link.right, link.weight, bends))
        near.setdefault(id(link.right), []).append((link.left, link.weight, bends))
    for sweep in range(_RELAXATIONS):
        second = sweep >= _RELAXATIONS // 2
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wishes, weights = [], []
            for item in column:
                pulls = [
                    (other.y, weight / (1 + second * bends * abs(other.y - item.y) / _SOFT))
                    for other, weight, bends in near.get(id(item), [(item, 0.1, False)])
                ]
                weights.append(sum(weight for _, weight in pulls))
                wishes.append(sum(weight * y for y, weight in pulls) / weights[-1])
            _settle(column, wishes, weights)


def _straighten(columns: list[list[Item]], links: Sequence[Link]) -> None:
    """Take small steps out of long edges: move a lane level with its neighbor where it fits."""
    for link in [*links, *reversed(links), *links, *reversed(links)]:
        for lane, other in ((link.left, link.right), (link.right, link.left)):
            step = abs(lane.y - other.y)
            if lane.size[1] == 0 and 0 < step < _TREMBLE and _fits(columns, lane, other.y):
                lane.y = other.y
                break


def _fits(columns: list[list[Item]], item: Item, y: float) -> bool:
    column = columns[item.column]
    above, below = column[: item.rank][-1:], column[item.rank + 1 :][:1]
    return all(y - a.y >= _apart(a, item) for a in above) and all(
        b.y - y >= _apart(item, b) for b in below
    )


def _apart(above: Item, below: Item) -> float:
    """Least distance between the middles of two neighbors in a column."""
    return (above.size[1] + below.size[1]) / 2 + max(above.distance, below.distance)


def _settle(column: Sequence[Item], wishes: list[float], weights: list[float]) -> None:
    """Move a column as near to ``wishes`` as its distances allow (pool adjacent violators)."""
    offsets = [0.0]
    for above, below in pairwise(column):
        offsets.append(offsets[-1] + _apart(above, below))
    pools: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        pools.append((wish - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, u, m), (b, v, n) = pools[-2:]
            pools[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    places = [mean for mean, _, count in pools for _ in range(count)]
    for item, place, offset in zip(column, places, offsets, strict=True):
        item.y = place + offset


def _spans(columns: list[list[Item]], links: Sequence[Link]) -> tuple[list[Point], float]:
    """Left and right end of every column; the steeper the edges between, the wider the gap."""
    spans, x = [], 0.0
    for index, column in enumerate(columns):
        width = max((item.size[0] for item in column), default=0.0)
        spans.append((x, x + width))
        steps = [abs(k.left.y - k.right.y) for k in links if k.left.column == index]
        x += width + (min(max(14.0 + 0.2 * max(steps), 18.0), 44.0) if steps else 0.0)
    return spans, spans[-1][1]


def _box(item: Item, spans: Sequence[Point]) -> Box:
    left, right = spans[item.column]
    return Box((left + right) / 2, item.y, *item.size)


def _ports(chains: Sequence[_Chain]) -> dict[int, float]:
    """Spread the ends of edges over the side of the node they reach; offsets from its middle."""
    arrivals: dict[str, list[_Chain]] = {}
    for chain in chains:
        arrivals.setdefault(chain.target, []).append(chain)
    ports = {}
    for group in arrivals.values():
        group.sort(key=lambda chain: chain.items[-2].y)
        step = min(8.0, _PORTS / max(len(group) - 1, 1))
        for index, chain in enumerate(group):
            ports[id(chain)] = (index - (len(group) - 1) / 2) * step
    return ports


def _route(chain: _Chain, spans: Sequence[Point], boxes: dict[str, Box], port: float) -> Route:
    """Points of an edge, in pairs: each pair is a straight piece through one column."""
    start, *inner, end = chain.items
    first, last = boxes[chain.source], boxes[chain.target]
    points = [(first.x + first.width / 2, start.y), (spans[start.column][1], start.y)]
    for item in inner:
        points += [(spans[item.column][0], item.y), (spans[item.column][1], item.y)]
    arrival = end.y + port
    points += [(spans[end.column][0], arrival), (last.x - last.width / 2, arrival)]
    label = _box(inner[-1], spans) if chain.name else None
    return Route(chain.source, chain.target, chain.key, chain.name, tuple(points), label)
