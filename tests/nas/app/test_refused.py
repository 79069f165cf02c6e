from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf.errors import MissingMandatoryValue

from nas.app.refused import nothing_left
from nas.engine.signals import InterruptedRunError
from nas.errors import NasError
from nas.store.folder import RunFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of runs in which Hydra has just made the folder of a new one."""
    (tmp_path / "runs" / "search" / "new" / ".hydra").mkdir(parents=True)
    return tmp_path / "runs"


def refused(path: Path, root: Path, error: BaseException, act: Callable[[], object]) -> None:
    with nothing_left(path, root):
        act()
        raise error


def refuse(path: Path, root: Path, error: BaseException, *files: str) -> None:
    def act() -> None:
        for name in files:
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}")

    with pytest.raises(type(error)):
        refused(path, root, error, act)


@pytest.mark.parametrize(
    "files", [(), ("config.yaml", "env.json", "splits.json", "status.json", ".lock", "tb/events")]
)
@pytest.mark.parametrize("error", [NasError("no"), MissingMandatoryValue("genotype")])
def test_what_was_refused_leaves_no_folder(
    root: Path, files: tuple[str, ...], error: Exception
) -> None:
    refuse(root / "search" / "new", root, error, *files)
    assert not root.exists()


def test_neighbors_stay_and_latest_leads_back(root: Path) -> None:
    old = RunFolder.create(root / "search" / "old")
    old.set_status("finished")
    old.point_latest()
    new = RunFolder(root / "search" / "new")

    def act() -> None:
        new.set_status("running")
        new.point_latest()

    with pytest.raises(NasError):
        refused(new.path, root, NasError("no"), act)
    assert sorted(path.name for path in root.iterdir()) == ["latest", "search"]
    assert [path.name for path in (root / "search").iterdir()] == ["old"]
    assert os.readlink(root / "latest") == "search/old"


def test_relative_paths_are_those_of_the_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    refuse(root / "search" / "new", Path("runs"), NasError("no"))
    assert list(root.parent.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [InterruptedRunError(15), KeyboardInterrupt(), ZeroDivisionError("a bug")],
    ids=["SIGTERM", "SIGINT", "bug"],
)
def test_what_was_stopped_or_broke_keeps_its_folder(root: Path, error: BaseException) -> None:
    refuse(root / "search" / "new", root, error, "config.yaml", "status.json")
    assert (root / "search" / "new" / "config.yaml").is_file()


def test_a_bug_before_the_first_file_leaves_nothing(root: Path) -> None:
    refuse(root / "search" / "new", root, ZeroDivisionError("a bug"))
    assert not root.exists()


@pytest.mark.parametrize("file", ["metrics.jsonl", "checkpoints/search/a", "notes.txt"])
def test_what_ran_or_holds_something_else_stays(root: Path, file: str) -> None:
    refuse(root / "search" / "new", root, NasError("no"), "config.yaml", file)
    assert (root / "search" / "new" / file).is_file()


def test_a_run_that_was_there_before_stays(root: Path) -> None:
    run = RunFolder(root / "search" / "new")
    run.set_status("failed")
    refuse(run.path, root, NasError("no"))
    assert run.status().state == "failed"


def test_a_folder_in_use_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.store.folder._LOCK_PATIENCE", 0.05)
    run = RunFolder(root / "search" / "new")
    with run.lock():
        refuse(run.path, root, NasError("in use"))
        assert run.path.is_dir()


def test_verbs_without_a_folder_leave_none(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    refuse(runs, runs, NasError("no run"))
    assert not runs.exists()
    RunFolder.create(runs / "search" / "a").set_status("finished")
    refuse(runs, runs, NasError("no run"))
    assert (runs / "search" / "a" / "status.json").is_file()


def test_without_an_error_nothing_is_touched(root: Path) -> None:
    with nothing_left(root / "search" / "new", root):
        pass
    assert (root / "search" / "new" / ".hydra").is_dir()


def test_a_plan_leaves_nothing_of_what_hydra_made(root: Path) -> None:
    new = root / "search" / "new"
    (new / ".hydra").rmdir()
    with nothing_left(new, root, plan=True):
        pass
    assert not root.exists()


def test_a_plan_leaves_a_run_that_is_there(root: Path) -> None:
    run = RunFolder(root / "search" / "new")
    run.set_status("interrupted")
    with nothing_left(run.path, root, plan=True):
        pass
    assert run.status().state == "interrupted"


@pytest.mark.parametrize("plan", [True, False])
def test_an_empty_folder_of_runs_that_was_there_stays(root: Path, plan: bool) -> None:
    new = root / "search" / "new"
    (new / ".hydra").rmdir()
    if plan:
        with nothing_left(new, root, root, plan=True):
            pass
    else:
        with pytest.raises(NasError), nothing_left(new, root, root):
            raise NasError("no")
    assert list(root.iterdir()) == []


def test_the_folder_that_was_chosen_for_a_plan_goes_alone(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "run"
    mine.mkdir(parents=True)
    with nothing_left(mine, root, plan=True):
        pass
    assert (tmp_path / "mine").is_dir()
    assert not mine.exists()
