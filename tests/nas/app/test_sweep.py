from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from nas import console
from nas.app.sweep import Sweep, job_folder, jobs_of
from nas.app.sweep_table import OWN_COLUMNS, counted, short, swept, tell
from nas.errors import ConfigError
from nas.store.sweep import Row, SweepFolder

ROWS = [
    Row(f"strategy={name} seed={seed} preset=smoke 'data.root=~/my pets'", "search/a", "finished")
    for name in ("darts", "gdas")
    for seed in (0, 1)
]


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=1,2"],
        ["seed=1,2", "strategy=darts,gdas", "preset=smoke"],
        ["seed=range(1,4)", "+more=[a,b]", "optim.lr=choice(0.1,1e-3)"],
        ["data.root='~/my pets'", "seed=0", "seed=1,2", "~logger"],
        ["x='a, b','c'", "y={a:1},{a:2}", "z=null,true"],
        [],
    ],
)
def test_the_jobs_are_those_of_hydras_sweeper(overrides: list[str]) -> None:
    parsed = OverridesParser.create().parse_overrides(overrides)
    (batch,) = BasicSweeper.split_arguments(parsed, None)
    assert [list(job) for job in jobs_of(overrides)] == batch


def test_settings_of_hydra_are_not_those_of_a_job() -> None:
    assert jobs_of(["seed=1,2", "hydra.verbose=true"]) == [("seed=1",), ("seed=2",)]


def test_what_only_another_sweeper_knows_stays_as_it_is() -> None:
    assert jobs_of(["lr=interval(0,1)"]) == [("lr=interval(0,1)",)]
    assert jobs_of(["lr=(("]) == [("lr=((",)]


def test_the_same_jobs_are_the_same_sweep() -> None:
    name = Sweep("search", ["seed=1,2", "strategy=darts,gdas"]).id
    for overrides in (
        ["strategy=gdas,darts", "seed=2,1"],
        ["seed=range(1,3)", "strategy=choice(darts,gdas)", "device=cpu"],
        ["seed=1,2", "strategy=darts,gdas", "mode=plan", "fresh=true"],
    ):
        assert Sweep("search", overrides).id == name
    assert Sweep("search", ["seed=1,2", "strategy=darts"]).id != name
    assert Sweep("retrain", ["seed=1,2", "strategy=darts,gdas"]).id != name
    with pytest.raises(ConfigError, match="runs=FOLDER moves all runs"):
        Sweep("search", ["seed=1,2", "hydra.sweep.dir=x"])


def test_a_job_works_where_its_run_would_be() -> None:
    hydra = {
        "sweep": {"dir": "runs/_sweeps/abc"},
        "run": {"dir": "runs/search/x"},
        "job": {"num": 3},
    }
    cfg = OmegaConf.create({"hydra": hydra})
    assert job_folder(cfg) == "../../search/x"
    cfg.hydra.run.dir = "${nowhere}"
    assert job_folder(cfg) == "unnamed-3"


def test_only_what_differs_tells_jobs_apart() -> None:
    assert swept(ROWS) == ["strategy", "seed"]
    assert short(ROWS[3], swept(ROWS)) == "strategy=gdas seed=1"
    assert short(Row("seed=0"), []) == "seed=0"
    assert swept([Row("x={a: 'b}"), Row("x=1")]) == ["x"]
    waiting = [*ROWS[:1], replace(ROWS[1], state="waiting"), replace(ROWS[2], state="waiting")]
    assert counted(waiting) == "3 jobs, 1 finished, 2 waiting"
    assert counted(ROWS[:1]) == "1 job, 1 finished"


def test_the_table_fits_and_names_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = SweepFolder(Path("runs/_sweeps/abcdef"))
    keys = [f"optim.architecture.a_rather_long_name_{i}" for i in range(OWN_COLUMNS + 1)]
    rows = [Row(" ".join(f"{key}={job}" for key in keys), "search/a", "finished") for job in "ab"]
    known = {"metric": "accuracy", "test": 0.987, "validation": 1.0, "macs": 3.4e6, "seconds": 75.0}
    for listed in (ROWS, rows, [replace(row, **known) for row in ROWS]):
        tell(sweep, listed, json=False)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= console.MAX_COLUMNS
        assert lines[-1] == f"next    nas compare {sweep.path}"
    assert any("98.7 %" in line and "3.40 M" in line and "1 min 15 s" in line for line in lines)
    one = [ROWS[0], replace(ROWS[1], state="failed", folder="", message="it broke")]
    tell(sweep, one, json=False)
    out = capsys.readouterr().out
    assert "failed  seed=1: it broke" in out
    assert out.splitlines()[-1] == f"next    nas show {sweep.runs / 'search/a'}"
    tell(sweep, [replace(ROWS[0], state="failed")], json=False)
    assert "goes on with the jobs that are not finished" in capsys.readouterr().out
    tell(sweep, one, json=True)
    assert [row["state"] for row in json.loads(capsys.readouterr().out)["jobs"]] == [
        "finished",
        "failed",
    ]
