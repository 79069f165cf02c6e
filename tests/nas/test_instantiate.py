"""Modules of the user's own: where they are looked for, and what is said when they do not load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nas.errors import ConfigError
from nas.instantiate import importable, instantiate, loaded


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, not yet on the path, and forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0] == "nas_test_lab"]:
        del sys.modules[name]


def write(folder: Path, text: str) -> None:
    (folder / "nas_test_lab").mkdir()
    (folder / "nas_test_lab" / "parts.py").write_text(text)


def test_the_current_folder_is_looked_in_last_and_only_for_plugins(lab: Path) -> None:
    before = list(sys.path)
    importable([])
    assert sys.path == before
    importable(["nas_test_lab.parts"])
    importable(["nas_test_lab.parts"])
    assert sys.path == [*before, str(lab)]


def test_a_plugin_of_the_current_folder_is_built(lab: Path) -> None:
    write(lab, "class Part:\n    def __init__(self, size):\n        self.size = size\n")
    node = OmegaConf.create({"_target_": "nas_test_lab.parts.Part", "size": 3})
    assert instantiate(node, ["nas_test_lab.parts"]).size == 3
    assert loaded("nas_test_lab.parts.Part").__name__ == "Part"


@pytest.mark.parametrize(
    ("text", "target", "sentence"),
    [
        ("class Part: ...", "nas_test_lab.parts.Pert", "did you mean 'Part'"),
        (
            "import nothing_of_that_name",
            "nas_test_lab.parts.Part",
            "ModuleNotFoundError: No module",
        ),
        ("def (", "nas_test_lab.parts.Part", "cannot be imported: SyntaxError"),
        ("", "nas_test_lab.other.Part", "names nothing that can be imported"),
    ],
)
def test_what_does_not_load_is_told(lab: Path, text: str, target: str, sentence: str) -> None:
    write(lab, text)
    importable(["nas_test_lab.parts"])
    with pytest.raises(ConfigError, match=sentence):
        loaded(target)


def test_a_package_that_was_not_named_is_refused(lab: Path) -> None:
    write(lab, "class Part: ...")
    node = OmegaConf.create({"_target_": "nas_test_lab.parts.Part"})
    with pytest.raises(ConfigError, match=r"add plugins=\[nas_test_lab.parts\]"):
        instantiate(node)
