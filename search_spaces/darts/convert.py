"""The text form of the released code: ``Genotype(normal=[('sep_conv_3x3', 0), ...], ...)``."""

from __future__ import annotations

import ast
from typing import Any

from nas.errors import GenotypeError, nearest
from search_spaces.darts.cells import Cells, Edge, Plan
from search_spaces.darts.decisions import KEPT, KINDS
from search_spaces.ops import OPERATIONS

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
MAX_TEXT = 20_000  # characters; no cell needs more, and a parser is not to be fed without end


def parse_cells(text: str) -> Cells:
    """The cells in ``Genotype(...)`` text: two edges per node, concatenation as list or range.

    As in the released files it may be assigned to a name, which does not count. The text is parsed
    as data and never executed. Raises GenotypeError saying what is wrong where.
    """
    fields = _fields(text)
    return Cells(*(_plan(kind, fields[kind], fields[f"{kind}_concat"]) for kind in KINDS))


def _fields(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"a genotype text has at most {MAX_TEXT} characters, got {len(text)}")
    try:
        call = _expression(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise GenotypeError(f"not a genotype text: {error}") from error
    if not isinstance(call, ast.Call) or call.args or getattr(call.func, "id", "") != "Genotype":
        raise GenotypeError("a genotype text reads Genotype(normal=[...], normal_concat=..., ...)")
    names = [str(keyword.arg) for keyword in call.keywords]
    if sorted(names) != sorted(FIELDS):
        raise GenotypeError(
            f"a genotype text has the fields {', '.join(FIELDS)}, each once; got {', '.join(names)}"
        )
    return {str(keyword.arg): _value(str(keyword.arg), keyword.value) for keyword in call.keywords}


def _expression(text: str) -> ast.expr | None:
    """The expression in a text, also where it is assigned to a name; None where more is there."""
    body = ast.parse(text.strip()).body
    match body:
        case [ast.Expr(value=found)] | [ast.Assign(targets=[ast.Name()], value=found)]:
            return found
    return None


def _value(name: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
        bounds = [_value(name, argument) for argument in node.args]
        small = all(_whole(bound) and abs(bound) < 1000 for bound in bounds)
        if small and 1 <= len(bounds) <= 2 and not node.keywords:
            return list(range(*bounds))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise GenotypeError(f"genotype field {name!r} holds something else than data") from error


def _plan(kind: str, edges: Any, concat: Any) -> Plan:
    if not isinstance(edges, list | tuple) or len(edges) % KEPT or not edges:
        raise GenotypeError(f"the {kind} cell needs two (operation, input) pairs per node")
    pairs = [_edge(kind, 2 + index // KEPT, edge) for index, edge in enumerate(edges)]
    nodes = tuple(tuple(pairs[i : i + KEPT]) for i in range(0, len(pairs), KEPT))
    states = range(2 + len(nodes))
    known = isinstance(concat, list | tuple) and all(_whole(c) and c in states for c in concat)
    if not known or not concat:
        raise GenotypeError(
            f"{kind}_concat must list states of 0..{len(states) - 1}, got {concat!r}"
        )
    return Plan(nodes, tuple(concat))


def _edge(kind: str, node: int, edge: Any) -> Edge:
    if not isinstance(edge, list | tuple) or len(edge) != 2:
        raise GenotypeError(f"{kind} node {node}: expected (operation, input), got {edge!r}")
    name, source = edge
    if name not in OPERATIONS:
        raise GenotypeError(
            f"{kind} node {node}: unknown operation {name!r}; known are {', '.join(OPERATIONS)}"
            f"{nearest(str(name), OPERATIONS)}"
        )
    if not _whole(source) or not 0 <= source < node:
        raise GenotypeError(f"{kind} node {node}: input must lie in 0..{node - 1}, got {source!r}")
    return Edge(name, source)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def format_cells(cells: Cells) -> str:
    """``Genotype(...)`` text with the concatenation as a list; ``parse_cells`` reads it back.

    Raises GenotypeError for a node without exactly two edges, which the text cannot express.
    """
    parts = []
    for kind in KINDS:
        plan = cells.of(kind)
        for node, edges in enumerate(plan.nodes, start=2):
            if len(edges) != KEPT:
                raise GenotypeError(
                    f"{kind} node {node} has {len(edges)} edge(s); "
                    f"the Genotype(...) text holds {KEPT} per node"
                )
        pairs = [tuple(edge) for edges in plan.nodes for edge in edges]
        parts += [f"{kind}={pairs!r}", f"{kind}_concat={list(plan.concat)!r}"]
    return f"Genotype({', '.join(parts)})"
