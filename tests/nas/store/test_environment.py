import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch

from nas.files import jsonable
from nas.store import environment as module
from nas.store.environment import PACKAGES, continued, environment, git_state, sources

ROOT = Path(module.__file__).parents[2]
UNKNOWN = {"revision": "unknown", "dirty": "unknown"}

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a package folder in a repository of its own, committed."""
    git(tmp_path, "init", "-q")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path / "pkg"


def test_the_record_is_complete_and_json() -> None:
    record = environment("fingerprint", command=["nas", "search", "seed=3"])
    assert json.loads(json.dumps(record)) == jsonable(record)
    assert record["command"] == ["nas", "search", "seed=3"]
    assert record["data"] == "fingerprint"
    assert record["python"] == platform.python_version()
    assert record["packages"]["torch"] == metadata.version("torch")
    assert record["cpu"]["cores"] == os.cpu_count()
    assert record["torch"]["threads"] == torch.get_num_threads()
    assert record["devices"] == ["cpu"]
    assert re.fullmatch("[0-9a-f]{64}", record["source"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])
    assert record["memory"] == "unknown" or record["memory"] > 10**8


def test_choices_and_settings_of_the_command_are_recorded() -> None:
    record = environment("d", choices={"strategy": "darts"}, overrides=["seed=3"])
    assert (record["choices"], record["overrides"]) == ({"strategy": "darts"}, ["seed=3"])


def test_a_run_that_goes_on_with_other_sources_names_them_all() -> None:
    first = {"source": "a", "python": "3"}
    assert sources(first) == ["a"]
    assert continued(first, "a") == first
    second = continued(first, "b")
    assert second == {"source": "a", "python": "3", "later_sources": ["b"]}
    assert continued(second, "b") == second
    third = continued(second, "a")
    assert sources(third) == ["a", "b", "a"]
    assert sources({}) == ["unknown"]


def test_the_command_line_is_that_of_the_process_by_default() -> None:
    assert environment("d")["command"] == sys.argv


def test_every_dependency_is_recorded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = [*project["dependencies"], *project["optional-dependencies"]["export"]]
    assert {re.split(r"[<>=!~\[ ;]", line)[0] for line in stated} == set(PACKAGES)


def test_devices_are_named_only_where_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")
    assert environment("d", device="cuda:1")["devices"] == ["card 0", "card 1"]
    assert environment("d", device="cpu")["devices"] == ["cpu"]


def test_nothing_unknown_stops_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no answer")

    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(os, "sysconf", fails)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(platform, "platform", fails)
    monkeypatch.setattr(module, "own_source_digest", fails)
    monkeypatch.setattr(module, "_cpu_model", fails)
    monkeypatch.setattr(torch.cuda, "device_count", fails)
    monkeypatch.setattr(module, "PACKAGES", ("no-such-distribution",))
    monkeypatch.setenv("PATH", "")
    record = environment("d", device="cuda")
    assert record["cpu"] == dict.fromkeys(["model", "cores", "usable_cores"], "unknown")
    assert record["git"] == UNKNOWN
    assert record["packages"] == {}
    for key in ["memory", "platform", "source", "devices"]:
        assert record[key] == "unknown", key


@needs_git
def test_git_tells_revision_and_changes(repository: Path) -> None:
    revision = git(repository, "rev-parse", "HEAD")
    assert git_state(repository) == {"revision": revision, "dirty": False}
    (repository / "a.py").write_text("a = 2\n")
    assert git_state(repository) == {"revision": revision, "dirty": True}


@needs_git
def test_a_copy_inside_a_strangers_repository_is_unknown(repository: Path) -> None:
    installed = repository.parent / ".venv" / "site-packages" / "nas"
    installed.mkdir(parents=True)
    (installed / "a.py").write_text("a = 1\n")
    assert git_state(installed) == UNKNOWN


@needs_git
def test_outside_a_repository_and_before_the_first_commit_git_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == UNKNOWN
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) == UNKNOWN


def test_without_git_it_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) == UNKNOWN


def test_a_git_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def hangs(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 20)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert git_state(tmp_path) == UNKNOWN
