import os
import subprocess
import sys
from pathlib import Path

import pytest

import nas.data.digest as module
from nas.data.digest import digest, fingerprint
from nas.data.sizes import Sizes
from nas.errors import NasError


def files(folder: Path, **contents: str) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in contents}


def test_names_and_contents_count_and_places_do_not(tmp_path: Path) -> None:
    one = digest(files(tmp_path / "one", a="1", b="2"))
    assert digest(files(tmp_path / "two", a="1", b="2")) == one
    assert digest(files(tmp_path / "three", a="2", b="1")) != one
    assert digest(files(tmp_path / "four", a="1", c="2")) != one
    assert digest(files(tmp_path / "five", a="1")) != one


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(module, "sha256", lambda x: read.append(x) or "f" * 64)  # type: ignore[func-returns-value]
    known = files(tmp_path / "data", a="1")
    for _ in range(3):
        digest(known)
    files_read = [path for path in read if isinstance(path, Path)]
    assert files_read == [known["a"]]


def test_a_change_of_content_changes_it_even_if_the_size_stays(tmp_path: Path) -> None:
    known = files(tmp_path / "data", a="1")
    before = digest(known)
    known["a"].write_text("2")
    os.utime(known["a"], ns=(0, 10**9))
    assert digest(known) != before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"cannot read .*gone: there is no such file"):
        digest({"gone": tmp_path / "gone"})


def test_a_fingerprint_covers_version_content_and_settings_but_not_places() -> None:
    base = fingerprint("v1", "c", Sizes("here"), places={"source"})
    assert fingerprint("v1", "c", Sizes("there"), places={"source"}) == base
    others = {
        fingerprint("v2", "c", Sizes("here"), places={"source"}),
        fingerprint("v1", "d", Sizes("here"), places={"source"}),
        fingerprint("v1", "c", Sizes("here", test=3), places={"source"}),
        fingerprint("v1", "c", Sizes("here")),
    }
    assert base not in others
    assert len(others) == 4


def test_naming_a_run_needs_neither_torch_nor_numpy_nor_pillow(two_classes: Path) -> None:
    (two_classes / "x.npz").write_bytes(b"no matter")
    code = (
        "import sys; from nas.data import Folder, Npz, Standard, Wrapped;"
        f"Folder(root={str(two_classes)!r}).fingerprint();"
        f"Npz(file={str(two_classes / 'x.npz')!r}).fingerprint();"
        "Wrapped(dataset=dict).fingerprint();"
        "Standard('cifar10', '/nowhere');"
        "sys.exit(str({'torch', 'numpy', 'PIL', 'torchvision'} & set(sys.modules) or ''))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.stderr.strip() == b""
