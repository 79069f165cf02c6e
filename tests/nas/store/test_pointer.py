import os
from pathlib import Path
from typing import Any

import pytest

from nas.store.pointer import LATEST, point_latest, pointed_at


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ["one", "two"]:
        (tmp_path / "digits" / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(*_: Any, **__: Any) -> None:
        raise OSError("links are impossible here")

    monkeypatch.setattr(os, "symlink", impossible)


def test_the_pointer_is_a_relative_link_that_follows(root: Path) -> None:
    assert point_latest(root, root / "digits" / "one")
    assert point_latest(root, root / "digits" / "two")
    link = root / LATEST
    assert os.readlink(link) == "digits/two"
    assert pointed_at(link) == root / "digits" / "two"
    moved = root.rename(root.with_name("moved"))
    assert (moved / LATEST).resolve() == (moved / "digits" / "two").resolve()


@pytest.mark.usefixtures("without_links")
def test_where_links_are_impossible_it_is_a_text_file(root: Path) -> None:
    assert point_latest(root, root / "digits" / "one")
    assert point_latest(root, root / "digits" / "two")
    assert (root / LATEST).read_text() == "digits/two\n"
    assert pointed_at(root / LATEST) == root / "digits" / "two"
    assert sorted(path.name for path in root.iterdir()) == ["digits", LATEST]


def test_each_form_replaces_the_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / LATEST).write_text("digits/one\n")
    assert point_latest(root, root / "digits" / "two")
    assert (root / LATEST).is_symlink()
    monkeypatch.setattr(os, "symlink", lambda *_, **__: (_ for _ in ()).throw(OSError))
    assert point_latest(root, root / "digits" / "one")
    assert not (root / LATEST).is_symlink()
    assert pointed_at(root / LATEST) == root / "digits" / "one"


def make_folder(link: Path) -> None:
    link.mkdir()
    (link / "mine.txt").write_text("mine")


STRANGERS = {
    "folder": make_folder,
    "notes": lambda link: link.write_text("my notes about the latest run\nand more\n"),
    "binary": lambda link: link.write_bytes(b"\xff" * 2000),
    "absolute link": lambda link: link.symlink_to("/somewhere/else"),
    "link upwards": lambda link: link.symlink_to("../elsewhere"),
    "link to a neighbor": lambda link: link.symlink_to("digits"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_something_else_by_that_name_is_never_touched(root: Path, kind: str) -> None:
    link = root / LATEST
    STRANGERS[kind](link)
    before = link.lstat()
    assert pointed_at(link) is None
    assert not point_latest(root, root / "digits" / "one")
    after = link.lstat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_pointer_to_a_run_that_is_gone_is_renewed(root: Path) -> None:
    (root / LATEST).symlink_to("digits/gone")
    assert point_latest(root, root / "digits" / "one")
    assert pointed_at(root / LATEST) == root / "digits" / "one"
