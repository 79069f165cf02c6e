"""What is expensive to find out twice, in a folder that may be deleted at any time."""

# numpy is imported by arrays() alone: digests are looked up while a run folder is named.
from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import console
from nas.errors import NasError
from nas.files import explain, is_file, make_directory, read_json, temporary_path, write_json

if TYPE_CHECKING:
    import numpy as np

DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)


def cache_folder() -> Path:
    """The folder of everything that is kept to save time.

    ``NAS_CACHE_DIR``, else ``diffnas`` below ``XDG_CACHE_HOME`` or ``~/.cache``, else, where the
    home folder cannot be written, below ``.cache`` of the current one.
    """
    if named := os.environ.get("NAS_CACHE_DIR"):
        return user_path(named)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "diffnas"
    home = user_path("~")
    usable = home.is_absolute() and os.access(home, os.W_OK)
    return (home if usable else Path()) / ".cache" / "diffnas"


def user_path(text: str) -> Path:
    """The path with a leading ``~`` replaced by the home folder, where there is one."""
    return Path(os.path.expanduser(text))


def remembered(kind: str, key: str, make: Callable[[], Any]) -> Any:
    """A JSON value by its key: from the cache, else made and kept there."""
    path = cache_folder() / kind / f"{key}.json"
    if is_file(path):
        try:
            return read_json(path)
        except NasError:
            _say_damaged(path)
    value = make()
    try:
        write_json(path, value)
    except NasError as error:
        _say_unwritten(str(error))
    return value


def arrays(
    key: str, names: Sequence[str], make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrays by their key: from the cache, else made and kept there.

    A file there that is damaged or lacks one of ``names`` is made anew, with one warning; a folder
    that cannot be written costs a warning and the time.
    """
    path = cache_folder() / "arrays" / f"{key}.npz"
    if is_file(path):
        try:
            return _read(path, names)
        except DAMAGED:
            _say_damaged(path)
    found = dict(make())
    try:
        _write(path, found)
    except NasError as error:
        _say_unwritten(str(error))
    return found


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import numpy as np

    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in names}


def _write(path: Path, found: Mapping[str, np.ndarray]) -> None:
    """Write straight to the disk, since a data set may be half of the memory; whole or absent."""
    import numpy as np

    temporary = temporary_path(make_directory(path.parent))
    try:
        with temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, **found)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise explain(error, path, "write") from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _say_damaged(path: Path) -> None:
    console.warn(f"{path} is damaged and made anew; it is a cache, nothing is lost")


@cache
def _say_unwritten(reason: str) -> None:
    console.warn(f"{reason}; until then, NAS_CACHE_DIR can name another folder for what is cached")
