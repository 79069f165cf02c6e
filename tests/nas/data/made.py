"""Pictures, archives and files in the layouts that people have."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray
MakeTree = Callable[..., Path]


def pixels(index: int, side: int = 8, channels: int = 3) -> Pixels:
    """A picture of its own for each index: ``(side, side, channels)`` uint8."""
    found = np.random.default_rng(index).integers(0, 256, (side, side, channels), dtype=np.uint8)
    return found if channels > 1 else found[:, :, 0]


def encoded(picture: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def tarred(root: Path, file: Path, top: str = "", mode: str = "w:xz") -> Path:
    """The tree as an archive, below a folder ``top`` if one is given."""
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]
        for path in sorted(root.rglob("*")):
            name = Path(top, path.relative_to(root)).as_posix()
            archive.add(path, name, recursive=False)
    return file


def fake_member(file: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """An archive of members with any header."""
    with tarfile.open(file, "w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file


def member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
