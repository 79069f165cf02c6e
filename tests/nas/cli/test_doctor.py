from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from nas.cli import doctor
from nas.cli.doctor import available_memory, checks, mismatch_remedy, requirements
from nas.console import MAX_COLUMNS

Say = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, and do not spend seconds on importing torchvision."""
    monkeypatch.chdir(tmp_path)
    real = import_module
    monkeypatch.setattr(
        doctor, "import_module", lambda name: None if name == "torchvision" else real(name)
    )


def found() -> dict[str, doctor.Check]:
    return {check.name: check for check in checks()}


def failing_import(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    before = doctor.import_module

    def load(wanted: str) -> Any:
        if wanted == name:
            raise error
        return before(wanted)

    monkeypatch.setattr(doctor, "import_module", load)


def test_this_machine_can_search(say: Say) -> None:
    status, out, err = say("doctor")
    assert (status, err) == (0, "")
    for name in ("python", "torch", "torchvision", "hydra-core", "device", "threads", "compiler"):
        assert f"\n{name} " in f"\n{out}"
    for name in ("runs/", "HOME", "disk", "memory", "[export]"):
        assert f"\n{name} " in out
    assert "a search can run here" in out
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS


def test_json(say: Say) -> None:
    status, out, err = say("doctor", "--json")
    report = json.loads(out)
    assert (status, err, report["ok"]) == (0, "", True)
    assert {"name", "state", "text", "remedy"} == set(report["checks"][0])
    assert list(Path().iterdir()) == []  # looking leaves nothing behind


def test_the_known_mismatch_of_torch_and_torchvision(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_import(
        monkeypatch, "torchvision", RuntimeError("operator torchvision::nms does not exist")
    )
    versions = {"torch": "2.15.0+cpu", "torchvision": "0.29.2"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, "9"))
    status, out, _ = say("doctor")
    said = " ".join(out.split())
    assert "operator torchvision::nms does not exist" in said
    assert "pip install --force-reinstall torch torchvision --index-url" in said
    assert "whl/cpu" in said.replace(" ", "")
    assert status == 0  # digits need no torchvision


@pytest.mark.parametrize(
    ("torch", "torchvision", "index"),
    [
        ("2.15.0+cpu", "0.29.2", "whl/cpu "),
        ("2.15.0+cu130", "0.29.2+cpu", "whl/cu130 "),
        ("2.15.0+cpu", "0.29.2+cpu", None),
        ("2.15.0", "0.20.0", None),
    ],
)
def test_the_remedy_of_a_mismatch(torch: str, torchvision: str, index: str | None) -> None:
    remedy = mismatch_remedy(torch, torchvision)
    assert ("--index-url" in remedy) == (index is not None)
    assert (index or "") in remedy


def test_a_broken_torch_prevents_a_search(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_import(monkeypatch, "torch", OSError("libtorch.so: cannot open shared object file"))
    status, out, _ = say("doctor")
    assert status == 1
    assert "a search cannot run here: torch" in out
    assert "libtorch.so" in out
    assert json.loads(say("doctor", "--json")[1])["ok"] is False


def test_missing_and_outdated_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._version
    fake = {"rich": None, "tensorboard": "2.20.0", "onnx": None, "torch": None, "torchvision": None}
    monkeypatch.setattr(doctor, "_version", lambda name: fake[name] if name in fake else real(name))
    checked = found()
    assert (checked["torch"].state, checked["torchvision"].state) == ("fails", "note")
    assert (checked["rich"].state, checked["rich"].text) == ("fails", "not installed")
    assert checked["tensorboard"].state == "note"
    assert checked["tensorboard"].text == "2.20.0 is outside >=2.21"
    assert checked["tensorboard"].remedy == "pip install 'tensorboard>=2.21'"
    assert checked["[export]"].state == "note"
    assert checked["[export]"].text == "without onnx"
    assert checked["[export]"].remedy == "pip install -e '.[export]'"


def test_a_local_build_of_torch_counts_as_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: "2.15.0+cpu" if name == "torch" else real(name)
    )
    assert [check.state for check in checks() if check.name == "torch"] == ["ok"]
    monkeypatch.setattr(
        doctor, "_version", lambda name: "2.10.0+cpu" if name == "torch" else real(name)
    )
    assert [check.state for check in checks() if check.name == "torch"] == ["ok", "note"]


def test_requirements_come_from_the_project_or_the_installed_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {need.name for need in requirements()}
    assert {"torch", "hydra-core", "rich", "onnx", "pytest"} <= names
    monkeypatch.setattr(doctor.nas, "__file__", str(tmp_path / "nas" / "__init__.py"))
    listed = ["torch>=2.11", "onnx>=1.19; extra == 'export'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: listed)
    assert requirements() == [Requirement(text) for text in listed]
    assert found()["[export]"].state == "ok"


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    check = next(doctor._python())
    assert (check.state, check.remedy) == ("fails", "install Python 3.11 or newer")


def test_a_full_disk_prevents_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1e6))
    check = found()["disk"]
    assert check.state == "fails"
    assert check.text.startswith("0.0 GB free")
    assert "runs=FOLDER" in check.remedy


def test_folders_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    checked = found()
    assert (checked["runs/"].state, checked["HOME"].state) == ("fails", "note")
    assert "Permission denied" in checked["runs/"].text
    assert checked["HOME"].text.endswith("caches need another place")


def test_no_compiler_is_only_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check = found()["compiler"]
    assert (check.state, check.text[:4]) == ("note", "none")


def test_a_check_that_breaks_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shutil, "which", lambda name: broken())
    check = found()["compiler"]
    assert (check.state, check.text) == ("note", "could not be checked (ZeroDivisionError)")


def test_memory_is_the_lesser_of_system_and_container(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4000000 kB\n")
    assert available_memory(tmp_path) == 4_096_000_000
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("100\n")
    (group / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 4_096_000_000
    (group / "memory.max").write_text("1100\n")
    assert available_memory(tmp_path) == 1000
