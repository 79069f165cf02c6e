from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.console import MAX_COLUMNS
from nas.store.folder import RunFolder
from nas.store.sweep import Row, SweepFolder

Say = Callable[..., "tuple[int, str, str]"]
ACCURACIES = {"pc_darts": [0.97, 0.98, 0.96, 0.975, 0.985, 0.965], "darts": [0.95] * 6}


def make(root: Path, strategy: str, seed: int, test: float, metric: str = "accuracy") -> RunFolder:
    run = RunFolder.create(root / "search" / f"space-{strategy}-s{seed}-abc{seed:03}")
    run.config.write_text(f"seed: {seed}\nstrategy: {{name: {strategy}}}\ndevice: cpu\n")
    record = {
        "source": "aaaa",
        "data": "print",
        "choices": {"strategy": strategy, "space": "space"},
        "command": ["nas", "search", f"seed={seed}"],
        "overrides": [f"strategy={strategy}", f"seed={seed}", "preset=cpu"],
    }
    run.env.write_text(json.dumps(record))
    found = {
        "name": "found",
        "parameters": 123_456,
        "macs": 3_456_789,
        "test": {metric: test},
        "validation": {metric: test / 2},
    }
    result = {"metric": metric, "search": {"seconds": 90}, "networks": [found]}
    run.result.write_text(json.dumps({**result, "higher_is_better": metric != "error"}))
    run.set_status("finished")
    return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make twelve runs and their sweep, which ``latest`` leads to."""
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    rows = []
    for strategy, values in ACCURACIES.items():
        for seed, value in enumerate(values):
            run = make(runs, strategy, seed, value)
            rows.append(Row(f"strategy={strategy} seed={seed}", run.label, "finished"))
    sweep = SweepFolder(runs / "_sweeps" / "abcdef")
    sweep.write([*rows, Row("strategy=broken seed=0", state="failed", message="why")])
    sweep.point_latest()
    return runs


def test_a_sweep_is_compared_in_tables_and_one_sentence(say: Say, root: Path) -> None:
    status, out, err = say("compare", "latest")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    cells = [line.split() for line in out.splitlines()]
    assert ["pc_darts", "6", "97.25", "0.94", "96.27", "to", "98.23", "96.00", "98.50"] in cells
    assert ["pc_darts", "48.62", "0.12", "M", "3.46", "M", "1", "min", "30", "s"] in cells
    line = ["pc_darts", "-", "darts", "6", "2.25", "1.27", "to", "3.23", "0.0312", "0.0312"]
    assert line in cells
    assert (
        "result  pc_darts is better than darts (test accuracy, 6 paired seeds, p corrected over 1"
        in out
    )
    assert out.splitlines()[-1].startswith("next    nas diff search/space-pc_darts-s0-abc000 ")
    assert say("compare") == (0, out, "")


@pytest.mark.parametrize(
    "words",
    [
        ("abcdef",),
        ("runs/_sweeps/abcdef",),
        ("runs/search",),
        ("search",),
        ("runs",),
        ("latest", "runs/search", "space-darts-s0"),
        tuple(f"space-{name}-s{seed}" for name in ACCURACIES for seed in range(6)),
    ],
    ids=["digits", "sweep", "folder", "experiment", "all", "several", "names"],
)
def test_the_runs_may_be_named_in_many_ways(say: Say, root: Path, words: tuple[str, ...]) -> None:
    status, out, _ = say("compare", *words, "--json")
    assert status == 0
    found = json.loads(out)
    assert len(found["entries"]) == 12
    assert found["sentence"].startswith("pc_darts is better than darts")
    assert found["pairs"][0]["corrected"] == pytest.approx(2 / 64)
    assert {group["name"]: group["test"]["n"] for group in found["groups"]} == {
        "pc_darts": 6,
        "darts": 6,
    }


def test_few_seeds_make_a_table_and_the_command_for_more(say: Say, root: Path) -> None:
    words = [f"space-{name}-s{seed}" for name in ACCURACIES for seed in range(3)]
    status, out, _ = say("compare", *words)
    assert status == 0
    lines = out.splitlines()
    assert "result  3 paired seeds: no claim; 6 or more could" in lines
    assert "better" not in out
    assert lines[-1] == "next    nas search -m strategy=pc_darts,darts seed=0,1,2,3,4,5 preset=cpu"


def test_an_error_is_better_when_lower(say: Say, root: Path) -> None:
    for strategy, values in ACCURACIES.items():
        for seed, value in enumerate(values):
            make(root, strategy, seed, value, "error")
    out = say("compare", "latest")[1]
    assert "darts is better than pc_darts (test error, 6 paired seeds" in out
    assert "0.9725" in out
    assert "%," not in out


def test_one_run_is_told_but_not_compared(say: Say, root: Path) -> None:
    status, out, _ = say("compare", "space-darts-s0")
    assert status == 0
    assert "result  all runs have strategy darts: there is nothing to compare" in out
    assert out.splitlines()[-1] == "next    nas show search/space-darts-s0-abc000"


def test_runs_left_out_are_told_with_the_reason(say: Say, root: Path) -> None:
    RunFolder(root / "search" / "space-darts-s5-abc005").set_status("failed", message="x")
    out = say("compare", "latest")[1]
    assert "out     search/space-darts-s5-abc005 is failed" in out
    assert "out     strategy=broken seed=0 is failed: why" in out
    assert "5 paired seeds: no claim" in out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nothing",), 1, "no run 'nothing' in runs"),
        (("latest", "by=strateg"), 2, "no run has a setting 'strateg'; did you mean 'strategy'?"),
        (("latest", "by=seed"), 2, "seeds are what pairs the runs"),
        (("latest", "for=x"), 2, "unknown setting 'for'"),
    ],
)
def test_mistakes_are_told(
    say: Say, root: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    found = say("compare", *words)
    assert found[:2] == (status, "")
    assert said in " ".join(found[2].split())


def test_a_sweep_without_a_run_says_where_the_reasons_are(say: Say, root: Path) -> None:
    SweepFolder(root / "_sweeps" / "abcdef").write([Row("seed=0", state="failed")])
    status, _, err = say("compare", "latest")
    assert status == 1
    assert "no job of runs/_sweeps/abcdef has a run yet; runs/_sweeps/abcdef/summary.md" in err


def test_the_front_and_a_table_for_a_paper(say: Say, root: Path) -> None:
    status, out, err = say("compare", "latest", "front=macs,search")
    assert (status, err) == (0, "")
    cells = [line.split() for line in out.splitlines()]
    assert ["pc_darts", "4", "98.50", "3.46", "M", "1", "min", "30", "s"] in cells
    assert "hypervolume between the worst and the best of all runs: pc_darts 1.000, darts 0" in out
    assert ["pc_darts", "98.50", "of", "6"] in cells
    status, out, err = say("compare", "latest", "--latex")
    assert (status, err) == (0, "")
    assert r"pc\_darts & 6 & 97.25 (sd 0.94) & 96.27 to 98.23 &  \\" in out
    assert out.startswith("% pc_darts is better than darts")
    assert say("show", "latest", "--latex")[0] == 2
    assert "there is no cost 'mac'" in say("compare", "latest", "front=mac")[2]
