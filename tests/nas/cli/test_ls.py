from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli.ls import found_network, rows
from nas.console import MAX_COLUMNS

Say = Callable[..., "tuple[int, str, str]"]
RESULT = {
    "strategy": "pc_darts",
    "seed": 0,
    "networks": [
        {"name": "random-0", "parameters": 1, "macs": 2, "test": {"accuracy": 0.5}},
        {"name": "found", "parameters": 214_000, "macs": 3_400_000, "test": {"accuracy": 0.989}},
    ],
}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)

    def make(name: str, updated: str, state: str = "finished", **files: Any) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        status = {"state": state, "updated": updated}
        for file, content in {"status": status, **files}.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{file}.json").write_text(text)
        return folder

    return make


def test_runs_are_listed_newest_first(say: Say, make: Callable[..., Path]) -> None:
    make("search/old-s0-aaaaaa", "2026-11-20T10:00:00+00:00", "interrupted")
    make("search/new-s0-bbbbbb", "2026-11-21T10:00:00+00:00", result=RESULT)
    make("_sweeps/x", "2026-11-22T10:00:00+00:00")
    status, out, err = say("ls")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["run", "state", "test", "%", "parameters", "MACs", "updated"]
    numbers = ["98.9", "0.21", "M", "3.40", "M"]
    assert lines[1] == ["search/new-s0-bbbbbb", "finished", *numbers, "2026-11-21", "10:00"]
    assert lines[2] == ["search/old-s0-aaaaaa", "interrupted", "2026-11-20", "10:00"]
    assert out.splitlines()[-1] == "next  nas show runs/search/new-s0-bbbbbb"
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS


def test_json(say: Say, make: Callable[..., Path]) -> None:
    make("search/new-s0-bbbbbb", "2026-11-21T10:00:00+00:00", result=RESULT)
    [row] = json.loads(say("ls", "--json")[1])
    assert row["folder"] == "runs/search/new-s0-bbbbbb"
    assert (row["strategy"], row["seed"], row["experiment"]) == ("pc_darts", 0, None)
    assert (row["state"], row["test_accuracy"], row["macs"]) == ("finished", 0.989, 3_400_000)


def test_one_experiment_alone(say: Say, make: Callable[..., Path]) -> None:
    make("one/a-s0-aaaaaa", "2026-11-20T10:00:00+00:00")
    make("two/b-s0-bbbbbb", "2026-11-20T10:00:00+00:00")
    assert [row["name"] for row in json.loads(say("ls", "runs/two", "--json")[1])] == [
        "two/b-s0-bbbbbb"
    ]


def test_nothing_there(say: Say, make: Callable[..., Path]) -> None:
    assert say("ls") == (0, "no runs under runs; 'nas search' makes the first one\n", "")
    assert say("ls", "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("content", ["{", "[]", '"text"', '{"networks": [3, {"name": "found"}]}'])
def test_damaged_results_are_passed_over(make: Callable[..., Path], content: str) -> None:
    folder = make("search/new-s0-bbbbbb", "2026-11-21T10:00:00+00:00", result=content)
    [row] = rows(folder.parents[1])
    assert (row["state"], row["test_accuracy"], row["parameters"]) == ("finished", None, None)


@pytest.mark.parametrize("result", [{}, {"networks": None}, {"networks": [{"name": "random-0"}]}])
def test_no_found_network(result: dict[str, Any]) -> None:
    assert found_network(result) == {}
