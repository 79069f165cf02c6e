"""The classes of isomorphic cells that NAS-Bench-201 counts (arXiv 2001.00326, section 3)."""

from __future__ import annotations

from search_spaces.nasbench201.cells import EDGES, NODES, Cell

NOTHING = "#"


def canonical(cell: Cell) -> str:
    """A text that is equal for cells of one class; 15,625 cells have 6,466.

    Every node is written as the sorted sum of its edges: a skip as its source, an operation around
    its source, and `#` for ``none`` or a source that is nothing but `#`. Sums keep their `#`, as in
    the published count: so cells of one class compute the same, but some that compute the same are
    of different classes. Two equal operations and one that is read twice are written alike.
    """
    texts = ["x"]
    for node in range(1, NODES):
        terms = [
            _term(texts[source], operation)
            for (source, target), operation in zip(EDGES, cell.operations, strict=True)
            if target == node
        ]
        texts.append("+".join(sorted(terms)))
    return texts[-1]


def _term(source: str, operation: str) -> str:
    if operation == "none" or source == NOTHING:
        return NOTHING
    return source if operation == "skip_connect" else f"({source})@{operation}"
