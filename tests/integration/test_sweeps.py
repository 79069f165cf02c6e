"""A real sweep of two tiny jobs: its table, TensorBoard, reports from files, and its comparison."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.store.folder import RunFolder
from nas.store.sweep import SweepFolder, find

pytestmark = pytest.mark.slow
TINY = (
    "preset=smoke",
    "space.nodes=1",
    "trainer.epochs=1",
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "threads=1",
)
SWEEP = ("search", "-m", "strategy=darts,pc_darts", "optim.network.lr=0.05", *TINY)
STAGES = "stages=[search,derive,retrain,evaluate,report]"
INSTALLED = "import sys\nfrom nas.cli import main\nsys.exit(main())\n"
PLUGIN = """\
from nas.relaxations import Softmax


class Mine(Softmax):
    \"\"\"Softmax at a temperature of our own.\"\"\"

    def __init__(self) -> None:
        super().__init__(temperature=1.0)
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("sweeps")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def sweep(here: Path) -> SweepFolder:
    assert main([*SWEEP, STAGES]) == 0
    found = find("latest", "runs")
    assert found is not None
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_summary_says_what_the_results_say(sweep: SweepFolder) -> None:
    with sweep.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished", "finished"]
    for row, run in zip(rows, sweep.folders(), strict=True):
        (found,) = read(run.result)["networks"]
        assert float(row["test"]) == found["test"]["accuracy"]
        assert float(row["validation"]) == found["validation"]["accuracy"]
        assert (int(row["parameters"]), int(row["macs"])) == (found["parameters"], found["macs"])
    assert not Path("runs/multirun.yaml").exists()
    assert (sweep.path / "multirun.yaml").is_file()


def test_a_single_run_finds_the_job_and_the_sweep_finds_the_run(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "strategy=darts", "optim.network.lr=0.05", *TINY, STAGES]) == 0
    assert "already finished" in capsys.readouterr().out
    assert os.readlink("runs/latest") == sweep.folders()[0].label
    assert main([*SWEEP, STAGES]) == 0
    out = capsys.readouterr().out
    assert out.count("already finished") == 2
    assert find("latest", "runs") == sweep


def test_a_finished_run_is_told_without_torch(sweep: SweepFolder, here: Path) -> None:
    line = ["search", "strategy=darts", "optim.network.lr=0.05", *TINY, STAGES]
    program = (
        f"import sys; from nas.cli import main; sys.exit(main({line}) or 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "already finished" in done.stdout
    assert "test accuracy" in done.stdout


def test_the_event_files_of_a_sweep_sort_in_the_hparams_tab(sweep: SweepFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    told = []
    for run in sweep.folders():
        events = EventAccumulator(str(run.tb))
        events.Reload()
        content = events.PluginTagToContent("hparams")
        started = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
        values = started.session_start_info.hparams
        settings = {
            name: getattr(value, str(value.WhichOneof("kind"))) for name, value in values.items()
        }
        experiment = HParamsPluginData.FromString(content["_hparams_/experiment"]).experiment
        assert [info.name.tag for info in experiment.metric_infos] == ["final"]
        (final,) = events.Scalars("final")
        (found,) = read(run.result)["networks"]
        assert final.value == pytest.approx(found["validation"]["accuracy"])
        told.append(settings)
    assert [settings["strategy"] for settings in told] == ["darts", "pc_darts"]
    for settings in told:
        assert (settings["seed"], settings["space"], settings["data"]) == (0, "darts", "digits")
        assert settings["optim.network.lr"] == 0.05
        assert settings["trainer.epochs"] == 1
        assert not {"threads", "stages", "preset"} & set(settings)


def test_a_report_is_written_anew_from_the_files_of_the_run(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sweep.folders()[0]
    before, page = read(run.result), run.report.read_text()
    weights = (run.retrain("found") / "weights.safetensors").stat().st_mtime_ns
    run.report.unlink()
    run.result.unlink()
    assert main(["report", run.label]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"report  {run.report}"
    assert read(run.result) == before
    assert run.report.read_text() == page
    assert run.status().state == "finished"
    assert (run.retrain("found") / "weights.safetensors").stat().st_mtime_ns == weights
    assert main(["report", run.label, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(run.report)}


def test_an_export_of_a_finished_run_is_in_its_report(sweep: SweepFolder) -> None:
    run = sweep.folders()[1]
    before = read(run.result)
    assert "exports" not in before
    assert main(["export", run.label, "formats=[safetensors]"]) == 0
    after = read(run.result)
    (record,) = after.pop("exports")
    assert after == before
    assert (record["format"], record["status"]) == ("safetensors", "written")
    assert record["path"] in run.report.read_text()


def test_the_jobs_are_compared_and_diffed(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", sweep.path.name]) == 0
    out = capsys.readouterr().out
    assert "result  1 paired seed: no claim; 6 or more could" in out
    assert "better" not in out
    assert max(map(len, out.splitlines())) <= 100
    one, other = sweep.folders()
    assert main(["diff", one.label, other.label, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["strategy.partial_channels"] == [None, 4]
    assert all(name.startswith("strategy.") for name in found["settings"])
    assert found["environment"] == {}


def test_a_run_that_is_refused_when_it_is_built_leaves_no_folder(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path("runs/search").iterdir())
    target = os.readlink("runs/latest")
    assert main(["search", *TINY, "space.cells=1"]) != 0
    assert "space.cells must be at least 3" in capsys.readouterr().err
    assert sorted(Path("runs/search").iterdir()) == before
    assert os.readlink("runs/latest") == target


def test_resume_by_force_keeps_the_names_of_all_sources(sweep: SweepFolder) -> None:
    run = RunFolder(sweep.folders()[0].path)
    env = read(run.env)
    run.env.write_text(json.dumps({**env, "source": "0" * 64}))
    run.report.unlink()
    line = ["search", "strategy=darts", "optim.network.lr=0.05", *TINY, STAGES]
    assert main(line) != 0
    assert not run.report.exists()
    assert main([*line, "resume=force"]) == 0
    after = read(run.env)
    assert (after["source"], after["later_sources"]) == ("0" * 64, [env["source"]])
    assert run.report.is_file()


def test_one_changed_line_of_a_plug_in_makes_the_next_call_run(tmp_path: Path) -> None:
    (tmp_path / "my_lab.py").write_text(PLUGIN)
    short = ("preset=smoke", "space.nodes=1", "trainer.epochs=1", "stages=[search,derive]")
    own = ("strategy.relaxation._target_=my_lab.Mine", "plugins=[my_lab]")
    line = ("search", *short, "strategy=darts", *own)

    def typed() -> str:
        command = [sys.executable, "-c", INSTALLED, *line]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "already finished" not in typed()
    assert "already finished" in typed()
    (tmp_path / "my_lab.py").write_text(PLUGIN.replace("=1.0", "=2.0"))
    assert "already finished" not in typed()
    runs = sorted((tmp_path / "runs" / "search").iterdir())
    assert len(runs) == 2
    assert len({read(run / "search.json")["validation"]["loss"] for run in runs}) == 2
    assert "already finished" in typed()
