import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import files
from nas.errors import NasError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates too: file names that are no UTF-8 contain them.
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def failing(number: int) -> Any:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(data=st.binary(max_size=200))
def test_bytes_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "new" / "folder" / "file"
    assert files.write_atomic(path, data) == path
    assert path.read_bytes() == data
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_text_is_written_as_utf8_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, "a long first version")
    files.write_atomic(path, "größer")
    assert path.read_bytes() == "größer".encode()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    files.write_atomic(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_the_file_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_bytes_reach_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b))[1])
    files.write_atomic(tmp_path / "file", b"x")
    assert calls == ["fsync", "rename", "fsync"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "not permitted"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
@pytest.mark.parametrize("place", ["write", "fsync", "open", "replace"])
def test_a_failed_write_is_one_sentence_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int, said: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, place, failing(number))
    with pytest.raises(NasError, match=said) as caught:
        files.write_atomic(path, b"new")
    monkeypatch.undo()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_systems_own_size_limit_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with file_size_limit(1000), pytest.raises(NasError, match="ulimit -f"):
        files.write_atomic(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_the_old_file_and_a_removable_rest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / ".nas-notes.txt").write_bytes(b"not ours")
    program = (
        "import os, sys, signal; from nas import files\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomic(sys.argv[1], b'new')"
    )
    root = Path(files.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3
    assert files.remove_temporaries(tmp_path) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".nas-notes.txt", "file"]


def test_a_path_through_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NasError, match=r"file/inner.*is a file, not a folder"):
        files.make_directory(tmp_path / "file" / "inner")
    with pytest.raises(NasError, match="is a file, not a folder"):
        files.write_atomic(tmp_path / "file" / "inner", b"")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(NasError, match="that is a folder, not a file"):
        files.write_atomic(tmp_path / "file", b"")


def test_lines_are_appended_and_the_size_returned(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines"
    assert files.append_line(path, "één") == 6
    assert files.append_line(path, "two") == 10
    assert path.read_text(encoding="utf-8") == "één\ntwo\n"


def test_a_line_holds_no_newline(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="newline"):
        files.append_line(tmp_path / "lines", "a\nb")


def test_a_failed_append_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "whole")
    # The limit lets the first 10 bytes of the second line through, like a disk that fills up.
    with file_size_limit(16), pytest.raises(NasError, match="cannot write"):
        files.append_line(path, "x" * 50)
    assert path.read_text() == "whole\n"
    files.append_line(path, "next")
    assert path.read_text() == "whole\nnext\n"


def test_truncate_only_ever_shortens(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.truncate(path, 3)
    assert not path.exists()
    path.write_bytes(b"abcdef")
    files.truncate(path, 10)
    assert path.read_bytes() == b"abcdef"
    files.truncate(path, 4)
    assert path.read_bytes() == b"abcd"


@settings(max_examples=40)
@given(value=json_values)
def test_json_comes_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = files.write_json(tmp_path_factory.mktemp("json") / "file.json", value)
    assert files.read_json(path) == value


def test_json_takes_what_programs_pass_around(tmp_path: Path) -> None:
    value = MappingProxyType(
        {
            1: (1, 2),
            "path": tmp_path,
            "numpy": np.float32(0.5),
            "float64": np.float64(0.25),
            "tensor": torch.tensor(3),
            "nan": float("nan"),
            "inf": [np.inf, -np.inf],
        }
    )
    path = files.write_json(tmp_path / "file.json", value)
    assert json.loads(path.read_text()) == {
        "1": [1, 2],
        "path": str(tmp_path),
        "numpy": 0.5,
        "float64": 0.25,
        "tensor": 3,
        "nan": None,
        "inf": [None, None],
    }


def test_json_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a set cannot be written"):
        files.write_json(tmp_path / "file.json", {"a": {1}})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"cannot read .*none\.json: there is no such file"):
        files.read_json(tmp_path / "none.json")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"\x80abc", b"[" * 200_000])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(NasError, match=r"bad\.json is damaged") as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"cannot read .*that is a folder"):
        files.read_bytes(tmp_path)


@given(data=st.binary(max_size=100))
def test_sha256_of_bytes_and_of_a_file_agree(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("sha") / "file"
    path.write_bytes(data)
    assert files.sha256(data) == files.sha256(path) == hashlib.sha256(data).hexdigest()
