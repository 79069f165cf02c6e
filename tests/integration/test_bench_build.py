"""``nas bench build`` as it is typed: a table of networks trained here, and searches on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.benchmarks import Query
from nas.benchmarks.query import HIGHER, select
from nas.benchmarks.store import provenance, read_table
from nas.cli import main
from nas.tasks import Classification, MultiLabel, Regression, Segmentation, Task

BUILD = ("bench", "build", "space=toy", "preset=smoke", "trainer.network_epochs=2", "lengths=[1]")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def test_trainings_become_a_table_that_searches_run_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)

    def typed(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    one = typed(*BUILD)
    path = Path(one["table"])
    first = read_table(path)
    assert (one["architectures"], one["seeds"], one["agreement"]) == (4, [0], None)
    assert first.complete
    result = next(path.parent.glob("retrain/00002-s0")) / "result.json"
    made = result.stat().st_mtime_ns
    two = typed(*BUILD, "seeds=2")
    assert two["table"] == one["table"]  # the same folder goes on
    assert result.stat().st_mtime_ns == made
    table = read_table(path)
    assert table.seconds is not None
    assert (table.seconds > 0).all()
    assert "toy" in provenance(path)["settings"]
    for split, epochs in (("validation", 1), ("validation", 2), ("test", 2)):
        series = select(table, Query("accuracy", "digits", split, epochs))
        assert series.seeds == (0, 1)
        assert (series.values >= 0).all()
        assert (series.values <= 100).all()
        assert (series.values[0] != series.values[1]).any()  # weights and batches of other seeds
        earlier = select(first, Query("accuracy", "digits", split, epochs)).values[0]
        np.testing.assert_array_equal(series.values[0], earlier)
    for row in range(4):
        record = json.loads((path.parent / f"retrain/{row:05d}-s1/result.json").read_text())
        series = select(table, Query("accuracy", "digits", "validation", 2, 1))
        assert series.values[0, row] == pytest.approx(100 * record["validation"]["accuracy"])
        found = select(table, Query("macs")).values[0, row]
        assert found == pytest.approx(record["macs"])
    told = typed("bench", "run", f"table={path}", "queries=3", "seeds=6", "strategies=[random]")
    assert told["judged_by"].startswith("metric=accuracy dataset=digits split=test epochs=2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["n=2"], "n must be a whole number of at least 3, got 2"),
        (["n=5"], "n must be at most 4 for space 'toy', got 5"),
        (["seeds=[1,1]"], "seeds must be a number above 0, or a list of different whole numbers"),
        (["lengths=[5]"], "lengths must lie below trainer.network_epochs=2, got 5"),
        (["space=darts"], "architectures; say how many of them with n=N"),
        (["strategy=darts"], "nas bench build does not use the group 'strategy'"),
        (["trainer.epochs=3"], "trainer.epochs would have no effect: nas bench build searches"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*BUILD, *words]) in (1, 2)
    out, err = capfd.readouterr()
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("retrain"))


@pytest.mark.parametrize("task", [Classification(), MultiLabel(), Regression(), Segmentation()])
def test_tables_know_of_every_metric_whether_more_is_better(task: Task) -> None:
    assert {name: name in HIGHER for name in task.higher_is_better} == dict(task.higher_is_better)
