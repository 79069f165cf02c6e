"""Which data this is: digests of files, and the fingerprint of a source with its settings."""

# Needs neither torch nor numpy: a run folder is named by it.
from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.cache import remembered
from nas.files import explain, sha256

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def digest(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and contents of files, given by name; their places do not count.

    Remembered by path, size and time of change, so that only the first run reads big files.
    Raises NasError for a file that cannot be read.
    """
    known = sorted(files.items())
    stamp = [[name, os.fspath(path.absolute()), *_state(path)] for name, path in known]

    def read() -> str:
        return record_digest([[name, sha256(path)] for name, path in known])

    return str(remembered("digests", record_digest(stamp), read))


def record_digest(record: Any) -> str:
    """SHA-256 over the JSON text of a record."""
    return sha256(json.dumps(record, sort_keys=True).encode("utf-8", "backslashreplace"))


def fingerprint(
    version: str, content: str, source: DataclassInstance, places: Collection[str] = ()
) -> str:
    """Fingerprint of a source: its contents and its settings but for ``places``, where they lie."""
    settings = {name: value for name, value in asdict(source).items() if name not in places}
    return record_digest({"version": version, "content": content, "settings": settings})


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise explain(error, path, "read") from error
    return found.st_size, found.st_mtime_ns
