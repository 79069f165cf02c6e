from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest

from nas.analysis.text import cell_text, summary_of
from nas.errors import NasError

REDUCE = """\
reduce
  c_k-2   -- max pool --+
  c_k-1   -- sep 5x5  --+-> 0
  c_k-1   -- sep 5x5  --+
  0       -- sep 5x5  --+-> 1
  c_k-2   -- sep 3x3  --+
  1       -- sep 3x3  --+-> 2
  c_k-1   -- sep 3x3  --+
  0       -- sep 3x3  --+-> 3
  0 1 2 3 ----------------> c_k"""


def test_a_cell_is_drawn_one_line_per_edge(pc_darts: Any) -> None:
    assert cell_text(pc_darts, "reduce", plain=True) == REDUCE


def test_the_fancy_form_says_the_same(pc_darts: Any) -> None:
    fancy = cell_text(pc_darts, "reduce", plain=False)
    table = str.maketrans({"─": "-", "▶": ">", "┐": "+", "┤": "+", "┴": "+"})
    assert not fancy.isascii()
    assert fancy.translate(table) == REDUCE


@pytest.mark.parametrize(("encoding", "plain"), [("ascii", True), ("utf-8", False), ("", True)])
def test_the_terminals_encoding_decides(
    pc_darts: Any, encoding: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Screen:
        pass

    screen = Screen()
    screen.encoding = encoding  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stdout", screen)
    assert cell_text(pc_darts, "normal").isascii() is plain


def test_no_line_is_over_a_hundred_columns(make_cell: Callable[..., Any]) -> None:
    graph = nx.MultiDiGraph()
    names = [f"x/{i}" for i in range(12)]
    for name in names:
        graph.add_node(name, cell="x" * 120, label=f"a rather long label {name}", kind="node")
    for index, name in enumerate(names[1:]):
        graph.add_edge(names[index], name, label="an_operation_with_a_very_long_name")
        graph.add_edge(names[0], names[-1], label="")
    text = cell_text(graph, "x" * 120, plain=True)
    assert max(map(len, text.splitlines())) <= 100
    for seed in range(20):
        lines = cell_text(make_cell(seed, 5), "normal", plain=False).splitlines()
        assert len(lines) == 1 + 2 * 5 + 1
        assert max(map(len, lines)) <= 100


def test_a_cell_without_edges_lists_its_nodes() -> None:
    graph = nx.MultiDiGraph()
    graph.add_node("a/0", cell="a", label="c_{k}")
    assert cell_text(graph, "a", plain=True) == "a\n  c_k"


def test_an_unknown_cell_and_a_cycle_are_refused(pc_darts: Any) -> None:
    with pytest.raises(NasError, match="cell 'x'"):
        cell_text(pc_darts, "x")
    loop = nx.MultiDiGraph([("a", "b"), ("b", "a")])
    with pytest.raises(NasError, match="cycle"):
        cell_text(loop, "")


def test_operations_are_counted_the_most_frequent_first(pc_darts: Any) -> None:
    assert summary_of(pc_darts) == "sep3 x7 sep5 x4 dil3 x2 avg x1 max x1 skip x1"
    assert summary_of(pc_darts, "reduce") == "sep3 x4 sep5 x3 max x1"
    assert summary_of(nx.MultiDiGraph()) == ""


def test_neither_torch_nor_matplotlib_is_imported() -> None:
    code = (
        "import sys, nas.analysis.text, nas.analysis.summary\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
