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
    assert (row["metric"], row["test"]) == ("accuracy", 0.989)


def of_metric(metric: str, value: float) -> dict[str, Any]:
    found = {"name": "found", "parameters": 6_500, "macs": 440_000, "test": {metric: value}}
    return {"metric": metric, "networks": [found]}


def test_a_metric_that_all_runs_have_is_named_in_the_head(
    say: Say, make: Callable[..., Path]
) -> None:
    make("search/a-s0-aaaaaa", "2026-11-21T10:00:00+00:00", result=of_metric("mse", 0.0123456))
    make("search/b-s0-bbbbbb", "2026-11-20T10:00:00+00:00", "interrupted")
    lines = [line.split() for line in say("ls")[1].splitlines()]
    assert lines[0] == ["run", "state", "test", "mse", "parameters", "MACs", "updated"]
    assert lines[1][1:3] == ["finished", "0.01235"]
    rows = json.loads(say("ls", "--json")[1])
    assert [(r["metric"], r["test"], r["test_accuracy"]) for r in rows] == [
        ("mse", 0.0123456, None),
        (None, None, None),
    ]


def test_runs_of_several_metrics_name_theirs(say: Say, make: Callable[..., Path]) -> None:
    make("search/a-s0-aaaaaa", "2026-11-21T10:00:00+00:00", result=of_metric("mse", 0.0123456))
    make("search/b-s0-bbbbbb", "2026-11-20T10:00:00+00:00", result=RESULT)
    make("search/c-s0-cccccc", "2026-11-19T10:00:00+00:00", result=of_metric("exact_match", 0.5))
    lines = [line.split() for line in say("ls")[1].splitlines()]
    assert lines[0] == ["run", "state", "test", "parameters", "MACs", "updated"]
    assert lines[1][2:4] == ["mse", "0.01235"]
    assert lines[2][2:5] == ["accuracy", "98.9", "%"]
    assert lines[3][2:6] == ["exact", "match", "50.0", "%"]


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
