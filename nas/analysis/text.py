"""A cell in words: for terminals, log lines and readers who cannot see a picture."""

import sys
from collections import Counter
from typing import Any

import networkx as nx

from nas.analysis.cells import cell_graph
from nas.analysis.operations import brief_label, clipped, plain_name, short_label
from nas.errors import NasError

_COLUMNS = 100
_FANCY = {"-": "─", "top": "┐", "mid": "┤", "last": "┴", ">": "▶"}
_PLAIN = {"-": "-", "top": "+", "mid": "+", "last": "+", ">": ">"}


def cell_text(graph: Any, cell: str, *, plain: bool | None = None) -> str:
    """Draw one cell with characters, at most 100 columns wide, one line per edge.

    Args:
        graph: a directed multigraph as in `nas.analysis.draw.draw_cell`.
        cell: which cell, for instance ``normal``.
        plain: True uses ASCII alone; None does so where the terminal cannot show more.

    Raises:
        NasError: when there is no such cell, or it has a cycle.
    """
    part = cell_graph(graph, cell)
    marks = _PLAIN if (_needs_plain() if plain is None else plain) else _FANCY
    names = {node: plain_name(str(part.nodes[node].get("label", node))) for node in part.nodes}
    arrivals = _arrivals(part, names)
    if not arrivals:
        return "\n".join([clipped(cell, _COLUMNS), *(f"  {name}" for name in names.values())])
    rows = [row for _, group in arrivals for row in group]
    widths = max(len(name) for name, _ in rows), max(len(label) for _, label in rows)
    lines = [clipped(cell, _COLUMNS)]
    for node, group in arrivals:
        for index, (name, label) in enumerate(group):
            rest = len(group) - index - 1
            end = f"{marks['-']}{marks['>']} {names[node]}" if not rest else ""
            lines.append(_line(name, label, widths, marks) + _joint(index, rest, marks) + end)
    return "\n".join(line[:_COLUMNS] for line in lines)


def summary_of(graph: Any, cell: str | None = None) -> str:
    """Count the operations of a genotype, or of one cell: ``sep3 x3 dil3 x2 skip x2``."""
    part = graph if cell is None else cell_graph(graph, cell)
    labels = [str(data.get("label", "")) for _, _, data in part.edges(data=True)]
    counts = Counter(brief_label(label) for label in labels if label)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return " ".join(f"{name} x{count}" for name, count in ordered)


def _arrivals(part: Any, names: dict[Any, str]) -> list[tuple[Any, list[tuple[str, str]]]]:
    """For each node that has inputs, in order of computation: (name of source, operation)."""
    if not nx.is_directed_acyclic_graph(part):
        raise NasError("this graph has a cycle and cannot be drawn; give a cell without cycles.")
    place = {node: index for index, node in enumerate(part.nodes)}
    found = []
    for node in nx.lexicographical_topological_sort(part, key=place.get):
        edges = sorted(part.in_edges(node, data=True), key=lambda edge: place[edge[0]])
        rows = [(names[u], short_label(str(data.get("label", "")))) for u, _, data in edges]
        if rows and not any(label for _, label in rows):
            rows = [(clipped(" ".join(name for name, _ in rows), _COLUMNS // 2), "")]
        if rows:
            found.append((node, rows))
    return found


def _line(name: str, label: str, widths: tuple[int, int], marks: dict[str, str]) -> str:
    """One edge up to where it joins the others of its node."""
    rule = marks["-"] * 2
    operation = f" {label:<{widths[1]}} " if label else marks["-"] * (widths[1] + 2)
    return f"  {name:<{widths[0]}} {rule}{operation}{rule}"


def _joint(index: int, rest: int, marks: dict[str, str]) -> str:
    """The mark where an edge meets those of its node that came before and the ``rest``."""
    if index == 0:
        return marks["top" if rest else "-"]
    return marks["mid" if rest else "last"]


def _needs_plain() -> bool:
    """Whether the terminal's encoding lacks the characters of the picture."""
    try:
        "".join(_FANCY.values()).encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return True
    return False
