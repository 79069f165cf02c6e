import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas.errors import NasError
from nas.store import folder as module
from nas.store.folder import RunFolder, Status, latest_of, resolve, runs

ROOT = Path(module.__file__).parents[2]
NAMES = ["darts-pc_darts-s0-aaa111", "darts-pc_darts-s1-bbb222", "toy-darts-s0-ccc333"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "digits" / NAMES[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of three finished runs and some things that are none."""
    for name in NAMES:
        RunFolder.create(tmp_path / "runs" / "digits" / name).set_status("finished")
    (tmp_path / "runs" / "_sweeps" / "dddddd").mkdir(parents=True)
    (tmp_path / "runs" / "_sweeps" / "dddddd" / "config.yaml").write_text("")
    (tmp_path / "runs" / "digits" / "no-run").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("")
    return tmp_path / "runs"


@contextmanager
def other_process(run: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Run a second process that holds the lock of ``run`` and says so."""
    program = (
        "import sys; from nas.store.folder import RunFolder\n"
        "with RunFolder.create(sys.argv[1]).lock():\n"
        "    sys.stdout.write('in\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_places_are_those_of_the_design(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "digits" / "name")
    places = {
        "config.yaml": run.config,
        "env.json": run.env,
        "status.json": run.status_file,
        "splits.json": run.splits,
        "metrics.jsonl": run.metrics,
        "genotypes/epoch_007.json": run.genotype_at(7),
        "genotype.json": run.genotype,
        "checkpoints/search": run.checkpoints("search"),
        "checkpoints/retrain/found": run.checkpoints("retrain/found"),
        "result.json": run.result,
        "plots": run.plots,
        "tb": run.tb,
        "retrain/random-0": run.retrain("random-0"),
        "export": run.export,
        "report.html": run.report,
    }
    assert {name: run.path / name for name in places} == places
    assert (run.name, run.label) == ("name", "digits/name")
    assert not run.path.exists()


def test_only_a_run_folder_can_be_opened(run: RunFolder) -> None:
    with pytest.raises(NasError, match="is no run folder; `nas ls` lists"):
        RunFolder.open(run.path)
    run.config.write_text("seed: 0")
    assert RunFolder.open(run.path) == run


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(NasError, match=r"cannot create the folder .*runs/digits/x"):
        RunFolder.create(tmp_path / "runs" / "digits" / "x")


def test_a_status_keeps_start_and_stage(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(["t1", "t2", "t3"])
    monkeypatch.setattr(module, "_now", lambda: next(times))
    with run.lock():
        assert run.set_status("running", stage="search") == run.status()
        assert run.status() == Status("running", "search", "t1", "t1")
        run.set_status("failed", message="loss is NaN")
        assert run.status() == Status("failed", "search", "t1", "t2", "", "loss is NaN")
        run.set_status("finished", stage="report")
        assert run.status() == Status("finished", "report", "t1", "t3", "t3")


def test_times_are_utc_in_seconds(run: RunFolder) -> None:
    updated = run.set_status("finished").updated
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", updated)


def test_an_unknown_state_is_a_mistake_of_ours(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="unknown state 'done'"):
        run.set_status("done")


@pytest.mark.parametrize("content", ["", "[1]", '{"state": "great"}', '{"state": ["running"]}'])
def test_a_damaged_status_is_unknown(run: RunFolder, content: str) -> None:
    assert run.status() == Status()
    run.status_file.write_text(content)
    assert run.status().state == "unknown"
    run.set_status("finished")
    assert run.status().state == "finished"


def test_running_means_that_someone_is_in(run: RunFolder) -> None:
    with run.lock():
        run.set_status("running")
        assert run.held()
        assert run.status().state == "running"
    assert not run.held()
    assert run.status().state == "interrupted"


def test_looking_leaves_no_trace(run: RunFolder) -> None:
    assert not run.held()
    assert list(run.path.iterdir()) == []


def test_the_lock_is_free_again_after_an_error(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt), run.lock():
        raise KeyboardInterrupt
    with run.lock():
        pass
    assert not run.held()


def test_a_second_process_is_told_who_is_in(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_PATIENCE", 0.1)
    with other_process(run) as process:
        run.set_status("running")
        assert run.status().state == "running"
        with pytest.raises(NasError, match=f"in use by process {process.pid} on ") as caught:
            run.lock().__enter__()
        assert str(run.path) in str(caught.value)
        assert "\n" not in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert run.status().state == "interrupted"
        with run.lock():
            assert run.held()


def test_a_lock_without_a_readable_holder_still_holds(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_PATIENCE", 0.05)
    with run.lock():
        (run.path / ".holder.json").write_text("torn")
        with pytest.raises(NasError, match="in use by another process"):
            run.lock().__enter__()


def test_a_lock_that_cannot_be_taken_is_explained(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.path / ".lock").mkdir()
    with pytest.raises(NasError, match=r"cannot lock .*\.lock: that is a folder"):
        run.lock().__enter__()


def test_latest_is_pointed_from_the_folder_of_all_runs(run: RunFolder) -> None:
    assert run.point_latest()
    link = run.path.parents[1] / "latest"
    assert os.readlink(link) == f"digits/{run.name}"


def test_runs_are_listed_with_the_last_updated_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_now", lambda: "9999")
    RunFolder(root / "digits" / NAMES[1]).set_status("failed")
    RunFolder(root / "digits" / NAMES[0]).point_latest()
    listed = runs(root)
    assert listed[0][0].name == NAMES[1]
    assert [status.state for _, status in listed] == ["failed", "finished", "finished"]
    assert sorted(run.name for run, _ in listed) == NAMES


def test_no_folder_holds_no_runs(tmp_path: Path) -> None:
    assert runs(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NAMES[0], 0),
        (f"digits/{NAMES[1]}", 1),
        ("aaa111", 0),
        ("2", 1),
        ("toy", 2),
        ("digits/toy", 2),
        ("darts-pc_darts-s1", 1),
    ],
)
def test_a_run_is_found_by_a_part_of_its_name(root: Path, text: str, expected: int) -> None:
    assert resolve(text, root) == RunFolder(root / "digits" / NAMES[expected])


def test_a_run_is_found_by_its_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "digits" / NAMES[2]
    assert resolve(str(path), root / "elsewhere") == RunFolder(path)
    monkeypatch.chdir(root.parent)
    relative = Path("runs") / "digits" / NAMES[2]
    assert resolve(str(relative), "runs") == RunFolder(relative)
    monkeypatch.setenv("HOME", str(root))
    assert resolve(f"~/digits/{NAMES[2]}", "runs") == RunFolder(path)


@pytest.mark.parametrize("linked", [True, False])
def test_latest_is_followed_as_a_word_and_as_a_path(root: Path, linked: bool) -> None:
    inner = f"digits/{NAMES[1]}"
    if linked:
        (root / "latest").symlink_to(inner)
    else:
        (root / "latest").write_text(inner + "\n")
    assert resolve("latest", root) == RunFolder(root / inner)
    assert resolve(str(root / "latest"), root) == RunFolder(root / inner)


def test_a_sweep_is_not_one_run(root: Path) -> None:
    (root / "latest").symlink_to("_sweeps/dddddd")
    sweep = root / "_sweeps" / "dddddd"
    assert latest_of(root) == sweep
    for word in ("latest", str(root / "latest"), "dddddd"):
        with pytest.raises(NasError, match=f"{word} is the sweep {sweep}, many runs; name one"):
            resolve(word, root)
    with pytest.raises(NasError, match=f"{sweep} is a sweep, many runs; .*`nas show {sweep}`"):
        resolve(str(sweep), root)


def test_an_unclear_name_lists_what_it_fits(root: Path) -> None:
    with pytest.raises(NasError, match=f"'darts' fits 2 runs .digits/{NAMES[0]}.*write more"):
        resolve("darts", root)


def test_a_name_in_two_experiments_needs_the_experiment(root: Path) -> None:
    RunFolder.create(root / "cifar" / NAMES[0]).set_status("finished")
    with pytest.raises(NasError, match="fits 2 runs"):
        resolve(NAMES[0], root)
    assert resolve(f"cifar/{NAMES[0]}", root).path == root / "cifar" / NAMES[0]


def test_an_unknown_name_gives_the_nearest(root: Path) -> None:
    with pytest.raises(NasError, match=f"no run 'darts-pc_dart-s0-aaa11x'.*mean '{NAMES[0]}'"):
        resolve("darts-pc_dart-s0-aaa11x", root)
    with pytest.raises(NasError, match=r"no run 'zzz'.*there are 3, such as .*`nas ls`"):
        resolve("zzz", root)
    with pytest.raises(NasError, match="no run ''"):
        resolve("", root)


def test_without_runs_the_way_to_one_is_shown(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"no run 'x'.*no run yet, start one with `nas search`"):
        resolve("x", tmp_path)
    with pytest.raises(NasError, match=r"latest does not exist.*start one with `nas search`"):
        resolve("latest", tmp_path)


def test_a_latest_that_leads_nowhere_says_so(root: Path) -> None:
    (root / "latest").symlink_to("digits/gone")
    with pytest.raises(
        NasError, match=r"latest leads to .*digits/gone, which is gone: there are 3"
    ):
        resolve("latest", root)
    (root / "latest").unlink()
    (root / "latest").mkdir()
    with pytest.raises(NasError, match="latest is no pointer to a run: there are 3"):
        resolve("latest", root)
