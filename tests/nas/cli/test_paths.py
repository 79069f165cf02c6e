"""Where configs lie: ours, those of plug-ins, and the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

import nas
from nas.cli import paths
from nas.cli.paths import config_dir, typed_folders, with_search_path
from nas.errors import NasError


def test_the_configs_lie_beside_the_package_or_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nas"
    package.mkdir()
    monkeypatch.setattr(nas, "__file__", str(package / "__init__.py"))
    with pytest.raises(NasError, match="install the package again"):
        config_dir()
    (tmp_path / "configs").mkdir()
    assert config_dir() == tmp_path / "configs"
    (package / "configs").mkdir()
    assert config_dir() == package / "configs"
    assert config_dir().is_absolute()


def test_folders_of_plug_ins_join_those_of_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "config_folders", lambda: [tmp_path / "theirs"])
    added = f"'file://{tmp_path}/theirs'"
    assert with_search_path(["seed=1"]) == ["seed=1", f"hydra.searchpath=[{added}]"]
    given = ["hydra.searchpath=[pkg://a]", "seed=1"]
    assert with_search_path(given) == ["seed=1", f"hydra.searchpath=[{added},pkg://a]"]
    own = f"'file://{tmp_path}/mine'"
    found = with_search_path([], [tmp_path / "mine"])
    assert found == [f"hydra.searchpath=[{own},{added}]"]


def test_without_plug_ins_nothing_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "config_folders", list)
    assert with_search_path(["hydra.searchpath=[pkg://a]"]) == ["hydra.searchpath=[pkg://a]"]


@pytest.mark.parametrize(
    "words", [["--config-dir", "a/b"], ["--config-dir=a/b"], ["-cd", "a/b"], ["-cd=a/b"]]
)
def test_the_folder_of_a_line_is_found_without_taking_it_apart(words: list[str]) -> None:
    assert typed_folders(["strategy=mine", *words, "--help"]) == [Path("a/b")]
