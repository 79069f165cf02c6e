from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from nas.analysis.report import write_report
from nas.errors import NasError

VOID = {"meta", "link", "br", "hr", "img", "input"}
WEIGHTS = {"normal": (["c_{k-2} -> 0", "c_{k-1} -> 0"], ["none", "skip"], [[0.2, 0.8], [0.5, 0.5]])}
ENV = {"python": "3.11", "packages": {"torch": "2.11"}, "flags": ["a", "b"], "git": None}
SECTIONS = (
    "result",
    "cells",
    "curves",
    "weights",
    "networks",
    "splits",
    "budget",
    "exports",
    "environment",
    "caveats",
)


class Checker(HTMLParser):
    """Collects identifiers, references and text, and sees that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = Counter(name for name, _ in attrs)
        assert max(names.values(), default=1) == 1, (tag, attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.references.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(path: Path) -> Checker:
    """Parse a report and hold it to what every report keeps."""
    text = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert max(Counter(checker.ids).values()) == 1
    assert not checker.tags & {"script", "link", "iframe", "object", "img", "image"}
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    for reference in checker.references:
        if reference.startswith("#"):
            assert reference[1:] in checker.ids, reference
        else:
            assert (path.parent / reference).is_file(), reference
    return checker


def test_a_full_report_has_every_section(
    result: dict[str, Any], metrics: list[dict[str, Any]], pc_darts: Any, tmp_path: Path
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.safetensors").write_text("")
    (tmp_path / "genotype.json").write_text("{}")
    path = write_report(tmp_path, result, metrics, pc_darts, ENV, WEIGHTS)
    page = checked(path)
    assert path == tmp_path / "report.html"
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)
    for words in (
        "No difference shown: found 98.9 %",
        "nas search experiment=pc_darts_digits seed=0",
        "Counting rule: MACs: convolutions",
        "not written: install [export]",
        "packages.torch",
        "sep3 x4 sep5 x3 max x1",
        "212,340",
    ):
        assert words in page.text, words
    assert "export/model.safetensors" in page.references
    assert "genotype.json" in page.references


def test_the_networks_are_listed_by_the_metric_of_the_task(
    result: dict[str, Any], tmp_path: Path
) -> None:
    assert "validation acc.test acc.test loss" in checked(write_report(tmp_path, result, [])).text
    result |= {"metric": "mse", "higher_is_better": False}
    for network in result["networks"]:
        network["validation"] = {"mse": 0.00123456, "psnr": 29.1}
        network["test"] = {"mse": 0.0004321, "loss": 0.0004321}
    text = checked(write_report(tmp_path, result, [])).text
    assert "MACsvalidation msetest msetest loss" in text
    assert "0.0012350.00043210.0004321" in text
    assert "acc." not in text


def test_the_same_run_gives_the_same_bytes(
    result: dict[str, Any], metrics: list[dict[str, Any]], pc_darts: Any, tmp_path: Path
) -> None:
    pages = [
        write_report(tmp_path, result, metrics, pc_darts, ENV, WEIGHTS).read_bytes()
        for _ in range(2)
    ]
    assert pages[0] == pages[1]


def test_an_empty_run_gives_a_report_that_says_so(tmp_path: Path) -> None:
    page = checked(write_report(tmp_path, {}, []))
    assert "No stage of this run has left a result yet" in page.text
    assert [name for name in page.ids if name in SECTIONS] == ["result", "caveats"]


def test_any_part_of_the_result_may_be_missing(result: dict[str, Any], tmp_path: Path) -> None:
    for key in result:
        rest = {name: value for name, value in result.items() if name != key}
        checked(write_report(tmp_path, rest, []))
    for network in result["networks"]:
        del network["test"]
    checked(write_report(tmp_path, result, [], None, {}, {}))


def test_everything_from_outside_is_escaped(result: dict[str, Any], tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>&"'
    for name in ("experiment", "summary", "command", "counting", "preset", "strategy"):
        result[name] = evil
    result["networks"][0]["name"] = result["budget"][0]["name"] = evil
    result["exports"][1] |= {"format": evil, "status": evil, "path": evil}
    result["splits"] = {evil: evil}
    result["comparison"] = {"sentence": evil}
    graph = nx.MultiDiGraph()
    graph.add_node("a", cell=evil, label=evil, kind="input")
    graph.add_node("b", cell=evil, label=evil, kind="node")
    graph.add_edge("a", "b", label=evil)
    rows = [{"stage": evil, "phase": evil, "epoch": 0, "step": 0, "metrics": {evil: 1.0}}]
    weights = {evil: ([evil], [evil], [[1.0]])}
    page = checked(write_report(tmp_path, result, rows, graph, {evil: {evil: evil}}, weights))
    assert evil in page.text


def test_a_cell_that_cannot_be_drawn_does_not_stop_the_report(tmp_path: Path) -> None:
    loop = nx.MultiDiGraph()
    loop.add_node("a", cell="x")
    loop.add_node("b", cell="x")
    loop.add_edges_from([("a", "b"), ("b", "a")])
    assert "has a cycle" in checked(write_report(tmp_path, {}, [], loop)).text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NasError, match=r"file: a part of that path is a file"):
        write_report(tmp_path / "file", {}, [])
