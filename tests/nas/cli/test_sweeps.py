"""Sweeps from the command line, with an application that only pretends to search."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from nas.app.sweep import Sweep
from nas.cli import main
from nas.errors import NasError
from nas.store.folder import RunFolder

Say = Callable[..., "tuple[int, str, str]"]
SEEDS = ("search", "-m", "seed=1,2")


class StoppedError(NasError):
    """What a run raises that a signal stopped."""

    exit_code = 143


def result_of(cfg: DictConfig) -> dict[str, Any]:
    value = 0.5 + cfg.seed / 100
    figures = {"validation": {"accuracy": value}, "test": {"accuracy": value + 0.001}}
    network = {"name": "found", "parameters": 1000 * cfg.seed, "macs": 5, "seconds": 2.5, **figures}
    return {"metric": "accuracy", "search": {"seconds": 1.5}, "networks": [network]}


def searching(
    bad: tuple[int, ...] = (), error: type[BaseException] = NasError
) -> Callable[[DictConfig], float | None]:
    """Return what leaves the files of a finished run, or raises for some seeds."""

    def act(cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig

        if cfg.seed in bad:
            raise error(f"seed {cfg.seed} is bad")
        folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
        for name in ("search.json", "genotype.json"):
            (folder.path / name).write_text("{}")
        folder.env.write_text(json.dumps({"source": "abcdef"}))
        folder.result.write_text(json.dumps(result_of(cfg)))
        folder.set_status("finished")
        folder.point_latest()
        return 0.5

    return act


def sweeps(checkout: Path) -> list[Path]:
    return sorted((checkout / "work" / "runs" / "_sweeps").glob("*"))


def table(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_runs_every_combination_where_single_runs_are(
    say: Say, app: Any, checkout: Path
) -> None:
    app.act = searching()
    status, out, err = say("search", "seed=1,2", "-m", "strategy=darts,gdas")
    assert (status, err) == (0, "")
    seen = [(cfg["seed"], cfg["strategy"]["name"]) for _, cfg in app.seen]
    assert seen == [(1, "darts"), (1, "gdas"), (2, "darts"), (2, "gdas")]
    runs = checkout / "work" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == ["_sweeps", "latest", "search"]
    assert sorted(path.name for path in (runs / "search").iterdir()) == ["s1", "s2"]
    (sweep,) = sweeps(checkout)
    names = {path.name for path in sweep.iterdir()}
    assert names == {".lock", "multirun.yaml", "summary.csv", "summary.md"}
    assert os.readlink(runs / "latest") == f"_sweeps/{sweep.name}"
    assert app.argv == ["nas", "search", "seed=2", "strategy=gdas"]
    assert out.splitlines()[0] == "job 1/4  seed=1 strategy=darts"
    assert out.splitlines()[-1] == "next    nas compare latest"
    assert max(map(len, out.splitlines())) <= 100


def test_the_summary_holds_every_job_at_every_moment(say: Say, app: Any, checkout: Path) -> None:
    seen: list[list[str]] = []
    search = searching(bad=(2,))

    def act(cfg: DictConfig) -> float | None:
        seen.append([row["state"] for row in table(sweeps(checkout)[0])])
        return search(cfg)

    app.act = act
    status, out, err = say(*SEEDS)
    assert status == 1
    assert seen == [["running", "waiting"], ["finished", "running"]]
    (sweep,) = sweeps(checkout)
    rows = table(sweep)
    assert [row["state"] for row in rows] == ["finished", "failed"]
    assert rows[0] == {
        "overrides": "seed=1",
        "folder": "search/s1",
        "state": "finished",
        "metric": "accuracy",
        "validation": "0.51",
        "test": "0.511",
        "parameters": "1000",
        "macs": "5",
        "seconds": "4",
        "message": "",
    }
    assert rows[1]["message"] == "seed 2 is bad"
    assert rows[1]["folder"] == ""
    assert not (checkout / "work" / "runs" / "search" / "s2").exists()
    markdown = (sweep / "summary.md").read_text()
    assert "2 jobs: 1 finished, 1 failed." in markdown
    assert "| seed=2 |  | failed |" in markdown
    assert "seed 2 is bad" in markdown
    assert err.splitlines() == [
        "error: seed=2: seed 2 is bad",
        f"error: 1 of 2 jobs failed; runs/_sweeps/{sweep.name}/summary.md says why",
    ]
    assert "failed  seed=2: seed 2 is bad" in out


def test_a_finished_job_is_told_in_one_line(say: Say, app: Any, checkout: Path) -> None:
    app.act = searching()
    assert say("search", "seed=2")[0] == 0
    status, out, err = say("search", "-m", "seed=1,2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [
        "job 1/2  seed=1",
        "        test accuracy 51.1 % after 4.0 s of training",
    ]
    assert lines[2].startswith("job 2/2  seed=2: already finished ")
    assert [row["state"] for row in table(sweeps(checkout)[0])] == ["finished", "finished"]


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
def test_a_stopped_job_stops_its_sweep_and_the_summary_says_so(
    say: Say, app: Any, checkout: Path, error: type[BaseException]
) -> None:
    app.act = searching(bad=(1,), error=error)
    status, out, err = say(*SEEDS)
    assert status == 130
    assert "interrupted" in err
    assert [cfg["seed"] for _, cfg in app.seen] == [1]
    (sweep,) = sweeps(checkout)
    states = [row["state"] for row in table(sweep)]
    assert states == ["interrupted", "waiting"]
    assert "1 interrupted, 1 waiting" in out
    assert os.readlink(sweep.parents[1] / "latest") == f"_sweeps/{sweep.name}"


def test_a_wrong_choice_stops_a_sweep_before_its_first_job_and_leaves_nothing(
    say: Say, app: Any, checkout: Path
) -> None:
    status, _, err = say("search", "-m", "strategy=darts,gdaz")
    assert status == 2
    assert err.startswith("error: unknown strategy 'gdaz'; did you mean 'gdas'?")
    assert app.seen == []
    assert list((checkout / "work").iterdir()) == []


def test_a_job_whose_run_cannot_be_named_fails_alone(say: Say, app: Any, checkout: Path) -> None:
    app.act = searching()
    base = checkout / "configs" / "base.yaml"
    base.write_text(
        base.read_text().replace("search/s${oc", "search/${naming:${oc").replace("none}", "none}}")
    )

    def naming(seed: int) -> str:
        if seed == 1:
            raise NasError("there is no data for seed 1")
        return f"s{seed}"

    OmegaConf.register_new_resolver("naming", naming)
    try:
        status, _, err = say(*SEEDS)
    finally:
        OmegaConf.clear_resolver("naming")
    assert status == 1
    assert err.splitlines()[0] == "error: seed=1: there is no data for seed 1"
    (sweep,) = sweeps(checkout)
    assert [row["state"] for row in table(sweep)] == ["failed", "finished"]
    assert table(sweep)[0]["message"] == "there is no data for seed 1"
    assert [path.name for path in sweep.iterdir() if path.is_dir()] == []


def test_json_is_one_document_at_the_end(say: Say, app: Any, checkout: Path) -> None:
    app.act = searching(bad=(2,), error=ZeroDivisionError)
    status, out, err = say(*SEEDS, "--json")
    assert status == 1
    printed = json.loads(out)
    (sweep,) = sweeps(checkout)
    assert printed["sweep"] == f"runs/_sweeps/{sweep.name}"
    assert [job["state"] for job in printed["jobs"]] == ["finished", "failed"]
    assert printed["jobs"][0]["test"] == pytest.approx(0.511)
    assert "job 1/2" in err
    assert "error: seed=2: ZeroDivisionError: seed 2 is bad" in err


def test_a_planned_sweep_writes_nothing(say: Say, app: Any, checkout: Path) -> None:
    status, out, _ = say("search", "-m", "seed=1,2", "--plan")
    assert status == 0
    assert out.splitlines() == ["job 1/2  seed=1", "job 2/2  seed=2"]
    runs = checkout / "work" / "runs"
    assert [path for path in runs.rglob("*") if path.is_file()] == []
    assert not (runs / "_sweeps").exists()


def test_the_folder_of_a_sweep_is_not_a_setting(say: Say, app: Any) -> None:
    status, _, err = say("search", "-m", "seed=1,2", "hydra.sweep.dir=mine")
    assert status == 2
    assert "runs=FOLDER moves all runs" in " ".join(err.split())
    assert say("search", "-m", "seed=1", "runs=elsewhere")[0] == 0
    assert Path("elsewhere/_sweeps").is_dir()
    assert not Path("runs").exists()


def test_a_second_process_keeps_out_of_a_sweep(
    say: Say, app: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Path("runs/_sweeps") / Sweep("search", ["seed=1"]).id
    sweep.mkdir(parents=True)
    (sweep / "summary.csv").write_text("of the other process")
    monkeypatch.setattr("nas.store.folder._LOCK_PATIENCE", 0.05)
    with RunFolder(sweep).lock():
        status, _, err = say("search", "-m", "seed=1")
    assert (status, app.seen) == (1, [])
    assert "in use by process" in err
    assert (sweep / "summary.csv").read_text() == "of the other process"


def test_the_pointer_to_a_sweep_is_understood_by_all_verbs(
    say: Say, app: Any, checkout: Path
) -> None:
    app.act = searching()
    assert say(*SEEDS)[0] == 0
    (sweep,) = sweeps(checkout)
    for word in ("latest", f"runs/_sweeps/{sweep.name}", sweep.name, f"_sweeps/{sweep.name}"):
        status, out, err = say("show", word)
        assert (status, err) == (0, "")
        assert f"sweep   runs/_sweeps/{sweep.name}: 2 jobs, 2 finished" in out
        assert out.count("finished") == 3
    assert len(json.loads(say("show", "--json")[1])["jobs"]) == 2
    listed = json.loads(say("ls", "--json")[1])
    assert sorted(row["name"] for row in listed) == [f"search/s{seed}" for seed in (1, 2)]
    for words in (("diff", "latest", "s1"), ("search", "--from", "latest")):
        status, _, err = say(*words)
        assert status == 1
        text = " ".join(err.split())
        assert f"latest is the sweep runs/_sweeps/{sweep.name}, many runs; name one of them" in text
    (sweep / "summary.md").unlink()
    result = checkout / "work" / "runs" / "search" / "s1" / "result.json"
    result.write_text(result.read_text().replace("0.511", "0.9"))
    status, out, _ = say("report", "latest")
    assert status == 0
    assert out.splitlines()[0] == f"report  runs/_sweeps/{sweep.name}/summary.md"
    assert "0.9" in (sweep / "summary.md").read_text()
    assert table(sweep)[0]["test"] == "0.9"


def test_a_refused_single_run_leaves_no_folder(say: Say, app: Any, checkout: Path) -> None:
    app.act = searching(bad=(1,))
    assert say("search", "seed=1")[0] == 1
    assert list((checkout / "work").iterdir()) == []
    assert main(["search", "seed=2"]) == 0
    assert say("search", "seed=1")[0] == 1
    runs = checkout / "work" / "runs"
    assert sorted(path.name for path in (runs / "search").iterdir()) == ["s2"]
    assert os.readlink(runs / "latest") == "search/s2"
