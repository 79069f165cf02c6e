"""Files that are whole or absent: atomic writes, flushed appends, and errors a user can act on."""

import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from nas.errors import NasError

PathText = str | os.PathLike[str]

_TEMPORARY_PREFIX = ".nas-"
_TEMPORARY_SUFFIX = ".tmp"

_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full: free some space, or choose a folder on another disk "
    "(runs=FOLDER), and repeat the command",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose a folder on another disk "
    "(runs=FOLDER), and repeat the command",
    errno.EFBIG: "the file would exceed the size limit of this process: raise it (ulimit -f) "
    "and repeat the command",
    errno.EROFS: "the file system is read-only: choose a folder that can be written (runs=FOLDER)",
    errno.EACCES: "permission denied: make it accessible for this user, or choose another folder "
    "(runs=FOLDER)",
    errno.EPERM: "the operation is not permitted: make it accessible for this user, or choose "
    "another folder (runs=FOLDER)",
    errno.ENOTDIR: "a part of that path is a file, not a folder: choose another path",
    errno.EEXIST: "a part of that path is a file, not a folder: choose another path",
    errno.EISDIR: "that is a folder, not a file: choose another path",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ENOENT: "there is no such file or folder: check the path",
}


def explain(error: OSError, path: PathText, verb: str) -> NasError:
    """Return the one-sentence NasError for ``error`` met when trying to ``verb`` the file."""
    fallback = error.strerror or type(error).__name__
    return NasError(f"cannot {verb} {os.fspath(path)}: {_REMEDIES.get(error.errno or 0, fallback)}")


@contextmanager
def _explained(path: PathText, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, path, verb) from error


def is_file(path: PathText) -> bool:
    """Tell whether a file is there that this user can reach; no error for a closed folder."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def as_seen(path: PathText) -> Path:
    """Return the path as the user would write it from where he is: relative if it lies below."""
    found, here = Path(path), Path.cwd()
    return found.relative_to(here) if found.is_relative_to(here) else found


def temporary_path(directory: Path) -> Path:
    """Return a fresh name in ``directory`` that `remove_temporaries` recognizes."""
    return directory / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"


def remove_temporaries(directory: PathText) -> int:
    """Remove what killed writers left in ``directory`` (not below it); return how many."""
    removed = 0
    for path in Path(directory).glob(f"{_TEMPORARY_PREFIX}*{_TEMPORARY_SUFFIX}"):
        with suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def make_directory(path: PathText) -> Path:
    """Create ``path`` with its parents where absent; NasError if that is impossible."""
    with _explained(path, "create the folder"):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def write_atomic(path: PathText, data: bytes | bytearray | memoryview | str) -> Path:
    """Write ``data`` (text as UTF-8) so that ``path`` holds the old or the new bytes, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and are renamed.
    Raises NasError, with the old file in place and the temporary one removed, if the disk is
    full or the place cannot be written.
    """
    target = Path(path)
    payload = _encode(data) if isinstance(data, str) else data
    make_directory(target.parent)
    temporary = temporary_path(target.parent)
    with _explained(target, "write"):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            _write_synced(temporary, payload, flags)
            os.replace(temporary, target)
        except BaseException:  # also an interrupt: nothing half-written stays behind
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_directory(target.parent)
    return target


def append_line(path: PathText, text: str) -> int:
    """Append ``text`` and a newline, flushed to the disk; return the new size in bytes.

    Raises NasError, with the file cut back to its former size, if the write fails.
    """
    if "\n" in text:
        raise ValueError("a line may not contain a newline")
    target = Path(path)
    make_directory(target.parent)
    with _explained(target, "write"):
        before = target.stat().st_size if target.exists() else 0
        line = _encode(text) + b"\n"
        try:
            _write_synced(target, line, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except BaseException:
            with suppress(OSError):
                os.truncate(target, before)
            raise
    return before + len(line)


def truncate(path: PathText, size: int) -> None:
    """Cut the file to its first ``size`` bytes, on disk; a shorter or absent file is left alone."""
    target = Path(path)
    with _explained(target, "write"):
        if not target.exists() or target.stat().st_size <= size:
            return
        with target.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())


def read_bytes(path: PathText) -> bytes:
    """Return the content of the file; NasError naming it where it cannot be read."""
    with _explained(path, "read"):
        return Path(path).read_bytes()


def jsonable(value: object) -> Any:
    """Return ``value`` in JSON's own types.

    Mappings become dicts with text keys, sequences lists, paths texts, scalar arrays and tensors
    numbers. JSON knows no NaN and no infinity: both become None.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [jsonable(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    if callable(item):
        return jsonable(cast("Callable[[], object]", item)())
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def write_json(path: PathText, obj: object) -> Path:
    """Write ``obj`` as indented JSON, atomically (`jsonable` says what may be in it)."""
    text = json.dumps(jsonable(obj), indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(path, text + "\n")


def read_json(path: PathText) -> Any:
    """Return the content of a JSON file; NasError naming it where it is missing or damaged."""
    raw = read_bytes(path)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise NasError(
            f"{os.fspath(path)} is damaged, it holds no JSON{where}: "
            "restore it or remove it and repeat the command"
        ) from error


def sha256(source: PathText | bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of bytes, or of a file given by its path, as 64 hex digits."""
    if isinstance(source, bytes | bytearray | memoryview):
        return hashlib.sha256(source).hexdigest()
    with _explained(source, "read"), Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encode(text: str) -> bytes:
    # File names with undecodable bytes reach us as lone surrogates; inside JSON the replacement
    # is the very escape that reads back as the same text.
    return text.encode("utf-8", "backslashreplace")


def _write_synced(path: Path, payload: bytes | bytearray | memoryview, flags: int) -> None:
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(payload)
        while rest:  # one call may write a part only
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    """Make the rename last through a power cut, on systems where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
