import gzip
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

import nas.data.container as module
from nas.data.container import Archive, Folders, container, stem
from nas.errors import NasError
from tests.nas.data.made import MakeTree, fake_member, member, tarred


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_archive_holds_what_its_folder_holds(
    mode: str, make_tree: MakeTree, tmp_path: Path
) -> None:
    root = make_tree({"a": 2, "b/deep": 1, "empty": 0})
    file = tarred(root, tmp_path / "tree.tar", mode=mode)
    folder, archive = Folders(root), Archive(file)
    assert folder.names() == archive.names()
    assert "empty/" in folder.names()
    names = [name for name in folder.names() if not name.endswith("/")]
    contents = {name: (root / name).read_bytes() for name in names}
    for tree in (folder, archive):
        assert {name: reader() for name, reader in tree.read(names)} == contents
        (one,) = tree.read(names[1:2])
        assert one[0] == names[1]
        assert one[1]() == contents[names[1]]


def test_hidden_files_and_folders_are_left_out(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree({"a": 1, ".git": 1, "b/.cache": 1})
    (root / "a" / "._000.png").write_bytes(b"")
    (root / ".DS_Store").write_bytes(b"")
    wanted = ["a/", "a/000.png", "b/"]
    assert Folders(root).names() == wanted
    assert Archive(tarred(root, tmp_path / "tree.tar")).names() == wanted


def test_links_are_followed_on_the_disk_but_not_round_for_ever(
    make_tree: MakeTree, tmp_path: Path
) -> None:
    elsewhere = make_tree({"x": 1}, "elsewhere")
    root = make_tree({"a": 1})
    (root / "b").symlink_to(elsewhere / "x")
    (root / "a" / "up").symlink_to(root)
    names = Folders(root).names()
    assert "b/000.png" in names
    assert len(names) < 10


def test_the_digest_covers_names_and_contents(make_tree: MakeTree) -> None:
    root = make_tree({"a": 2})
    before = Folders(root).digest()
    os.rename(root / "a" / "000.png", root / "a" / "002.png")
    renamed = Folders(root).digest()
    (root / "a" / "001.png").write_bytes(b"other")
    assert len({before, renamed, Folders(root).digest()}) == 3


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (member("/etc/passwd", b"x"), "'/etc/passwd', a name that leads out of it"),
        (member("a/../../x.png", b"x"), "a name that leads out of it; make the archive anew with"),
        (member("a/x.png", type=tarfile.SYMTYPE, linkname="/etc"), "no regular file; .*'tar -h'"),
        (member("a/x.png", type=tarfile.LNKTYPE, linkname="a"), "no regular file"),
        (member("a/x.png", type=tarfile.FIFOTYPE), "no regular file"),
        (member("a/x.png", type=tarfile.CHRTYPE), "no regular file"),
    ],
    ids=["absolute", "above", "link", "hard link", "pipe", "device"],
)
def test_forbidden_members_are_refused(entry: Any, message: str, tmp_path: Path) -> None:
    file = fake_member(tmp_path / "evil.tar", [member("a/y.png", b"y"), entry])
    with pytest.raises(NasError, match=rf"archive .*evil\.tar has a member .*{message}"):
        Archive(file).names()


def test_a_member_that_claims_to_be_huge_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_MEMBER", 2**20)
    file = fake_member(tmp_path / "bomb.tar", [member("a/x.png", bytes(2**20 + 1))])
    with pytest.raises(NasError, match=r"'a/x.png', of 1 MiB, more than the 1 allowed"):
        Archive(file).names()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_named(
    mode: str, share: float, make_tree: MakeTree, tmp_path: Path
) -> None:
    root = make_tree({"a": 30}, side=24)
    file = tarred(root, tmp_path / "cut.tar", mode=mode)
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(NasError, match=r"cut\.tar is damaged or no tar archive \(.+\); copy or"):
        Archive(file).names()


@pytest.mark.parametrize("content", [b"text", gzip.compress(b"no tar", mtime=0), bytes(100)])
def test_what_is_no_archive_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(content)
    with pytest.raises(NasError, match=r"x\.tar\.gz is damaged or no tar archive"):
        Archive(file).names()


def test_a_path_that_is_neither_folder_nor_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"no folder or archive of images at .*gone; set data\.root"):
        container(tmp_path / "gone")
    file = tmp_path / "notes.txt"
    file.write_text("x")
    with pytest.raises(NasError, match=r"notes\.txt is neither a folder nor an archive \(\.tar,"):
        container(file)


def test_an_archive_gives_the_data_its_name_without_the_extensions(tmp_path: Path) -> None:
    for name in ("pets.tar.xz", "pets.tgz", "pets.tar"):
        (tmp_path / name).write_bytes(b"")
        assert stem(tmp_path / name) == "pets"
    (tmp_path / "v1.tar").unlink(missing_ok=True)
    (tmp_path / "v1.2").mkdir()
    assert stem(tmp_path / "v1.2") == "v1.2"
