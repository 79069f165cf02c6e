from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import NasError
from nas.store.folder import RunFolder
from nas.store.sweep import Row, SweepFolder, find, job_row, renewed, sweep_id

ROWS = [
    Row("seed=0", "search/a", "finished", "accuracy", 0.5, 2 / 3, 1000.0, 5e6, 1.25),
    Row("seed=1 name='a, b'", "", "failed", message='it said: "no"\nand | stopped'),
    Row("seed=2"),
]
RESULT = {
    "metric": "loss",
    "search": {"seconds": 2.0},
    "networks": [
        {"name": "found", "test": {"loss": 0.25}, "parameters": 7, "macs": 8, "seconds": 3},
        {"name": "random-0", "test": {"loss": 9.0}, "seconds": 4},
    ],
}


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "runs" / "_sweeps" / "abcdef")


def finished(folder: Path) -> RunFolder:
    run = RunFolder.create(folder)
    run.result.write_text(json.dumps(RESULT))
    run.set_status("finished")
    return run


def test_the_table_is_read_back_as_it_was_written(sweep: SweepFolder) -> None:
    assert not sweep.is_sweep()
    sweep.write(ROWS)
    assert sweep.is_sweep()
    assert sweep.read() == ROWS
    assert sorted(path.name for path in sweep.path.iterdir()) == ["summary.csv", "summary.md"]


def test_the_table_for_people_has_a_line_per_job(sweep: SweepFolder) -> None:
    sweep.write(ROWS)
    lines = sweep.markdown.read_text().splitlines()
    assert lines[2].startswith("3 jobs: 1 finished, 1 failed, 1 waiting.")
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert "| 0.5 | 0.6667 | 1,000 | 5,000,000 | 1.25 |" in rows[2]
    assert rows[3].endswith(r'| it said: "no" and \| stopped |')


HEAD = "overrides,folder,state,metric,validation,test,parameters,macs,seconds,message"


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "\x00", f"{HEAD}\nseed=0,,,,x,,,,,\n", f"{HEAD}\nseed=0\n"],
    ids=["empty", "another head", "no text", "no number", "torn"],
)
def test_a_damaged_table_is_named(sweep: SweepFolder, text: str) -> None:
    sweep.write(ROWS)
    sweep.csv.write_text(text)
    with pytest.raises(NasError, match=r"summary\.csv is damaged: the sweep's command"):
        sweep.read()


def test_a_job_is_read_from_the_files_of_its_run(tmp_path: Path) -> None:
    run = finished(tmp_path / "search" / "a")
    row = job_row("seed=0", run, tmp_path)
    assert row == Row("seed=0", "search/a", "finished", "loss", None, 0.25, 7.0, 8.0, 9.0)
    assert job_row("seed=1", RunFolder(tmp_path / "none"), tmp_path) == Row("seed=1")


def test_a_table_is_renewed_from_the_runs(sweep: SweepFolder) -> None:
    run = finished(sweep.runs / "search" / "a")
    rows = [
        Row("seed=0", "search/a", "running"),
        Row("seed=1", "search/gone", "finished", test=0.5),
        Row("seed=2", "search/b", "running"),
        Row("seed=3", state="failed", message="why"),
        Row("seed=4"),
    ]
    sweep.write(rows)
    first = job_row("seed=0", run, sweep.runs)
    assert renewed(sweep) == [first, rows[1], replace(rows[2], state="interrupted"), *rows[3:]]
    with RunFolder(sweep.path).lock():
        assert renewed(sweep)[2].state == "running"
    run.set_status("failed", message="it broke")
    assert renewed(sweep)[0].message == "it broke"


def test_a_sweep_is_found_by_its_names(sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.write(ROWS)
    runs = sweep.runs
    assert sweep.point_latest()
    monkeypatch.chdir(runs.parent)
    for word in ("latest", "abcdef", "_sweeps/abcdef", str(sweep.path), "runs/_sweeps/abcdef"):
        found = find(word, runs)
        assert found is not None
        assert found.path.resolve() == sweep.path
    assert find("runs/latest", "elsewhere") == SweepFolder(Path("runs/_sweeps/abcdef"))
    for word in ("", "abcdee", "search", "runs"):
        assert find(word, runs) is None
    finished(runs / "search" / "a").point_latest()
    assert find("latest", runs) is None
    assert [run.path for run in sweep.folders()] == [runs / "search" / "a"]


def test_latest_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="latest does not exist: there is no run yet"):
        find("latest", tmp_path)


jobs = st.lists(
    st.lists(st.sampled_from(["seed=0", "seed=1", "data=a", "space.x=2"]), unique=True),
    max_size=4,
)


@given(jobs, st.randoms(use_true_random=False))
def test_the_order_of_jobs_and_settings_does_not_name_a_sweep(
    jobs: list[list[str]], random: object
) -> None:
    shuffled = [list(reversed(job)) for job in reversed(jobs)]
    assert sweep_id("search", shuffled) == sweep_id("search", jobs)
    assert sweep_id("search", [*jobs, *jobs]) == sweep_id("search", jobs)


def test_what_is_computed_names_a_sweep_and_how_it_is_done_does_not() -> None:
    name = sweep_id("search", [["seed=0"], ["seed=1"]])
    assert len(name) == 6
    assert name != sweep_id("retrain", [["seed=0"], ["seed=1"]])
    assert name != sweep_id("search", [["seed=0"]])
    assert name != sweep_id("search", [["seed=0", "data=x"], ["seed=1"]])
    assert name != sweep_id("search", [["seed=0", "seed=1"]])
    runtime = [["seed=0", "device=cpu", "+resume=force"], ["seed=1", "logger.tensorboard=false"]]
    assert name == sweep_id("search", runtime)
