"""``runs/latest``: the pointer to the newest run or sweep."""

import os
from contextlib import suppress
from pathlib import Path

from nas.files import read_bytes, temporary_path, write_atomic

LATEST = "latest"
SWEEPS = "_sweeps"  # the folder of sweeps, beside those of experiments


def point_latest(root: Path, target: Path) -> bool:
    """Let ``<root>/latest`` lead to ``target``, two levels below ``root``.

    A relative symbolic link, or a text file with the relative path where links are impossible.
    Returns False, with nothing done, if ``latest`` is there and no such pointer.
    """
    link, inner = root / LATEST, os.path.relpath(target, root)
    if os.path.lexists(link) and pointed_at(link) is None:
        return False
    temporary = temporary_path(root)
    try:
        temporary.symlink_to(inner, target_is_directory=True)
        temporary.replace(link)
    except (OSError, NotImplementedError):
        with suppress(OSError):
            temporary.unlink()
        write_atomic(link, Path(inner).as_posix() + "\n")
    return True


def pointed_at(link: Path) -> Path | None:
    """Return the folder a pointer of `point_latest` leads to; None for anything else."""
    if link.is_symlink():
        text = os.readlink(link)
    elif link.name == LATEST and link.is_file() and link.stat().st_size < 1024:
        text = read_bytes(link).decode(errors="replace").removesuffix("\n")
    else:
        return None
    inner = Path(text)
    plain = len(inner.parts) == 2 and ".." not in inner.parts and not inner.is_absolute()
    return link.parent / inner if plain and "\n" not in text else None
