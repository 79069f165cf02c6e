"""What makes two runs the same run: settings, data, and the source of the user's own modules."""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import read_bytes

# Raised when the code changes its meaning so that earlier runs no longer answer for new ones.
CODE_SCHEMA = 1

# Settings that say how or where a run is done, not what it computes. What plugins contain
# enters through ``sources``.
RUNTIME_KEYS = frozenset(
    {
        "checkpoint_seconds",
        "debug",
        "device",
        "fresh",
        "jobs",
        "logger",
        "memory",
        "mode",
        "n",  # of a table, which grows in its folder; so with seeds
        "plugins",
        "resume",
        "runs",
        "seeds",
        "stages",
        "threads",
    }
)

SOURCES = (".py", ".cpp", ".h")
_OWN_PACKAGES = ("nas", "search_spaces")


def run_hash(
    config: Mapping[str, Any], data_fingerprint: str, sources: Mapping[str, str] | None = None
) -> str:
    """Return the 6 hex digits that name a run.

    ``config`` is the resolved configuration in plain containers (top-level `RUNTIME_KEYS` are left
    out), ``sources`` maps each module that is not ours to its `source_digest`. The order of keys
    does not matter.
    """
    identity = {
        "schema": CODE_SCHEMA,
        "config": {key: value for key, value in config.items() if key not in RUNTIME_KEYS},
        "data": data_fingerprint,
        "sources": dict(sources or {}),
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:6]


def canonical_json(value: object) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, ASCII."""
    return json.dumps(_with_text_keys(value), sort_keys=True, separators=(",", ":"))


def source_digest(*paths: str | os.PathLike[str]) -> str:
    """Return the SHA-256 over all sources of the packages and files given, as 64 hex digits.

    Names below each path count, its place on the disk does not. Raises NasError for a path that
    does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    for name, path in sorted(entry for root in paths for entry in _source_files(Path(root))):
        content = read_bytes(path)
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def own_source_digest() -> str:
    """Return `source_digest` of the installed ``nas`` and ``search_spaces``, importing neither."""
    return source_digest(*(path for name in _OWN_PACKAGES for path in _package_folders(name)))


def _package_folders(name: str) -> list[str]:
    spec = importlib.util.find_spec(name)
    return sorted(spec.submodule_search_locations or ()) if spec else []


def _source_files(root: Path) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        yield root.name, root
        return
    if not root.is_dir():
        raise NasError(f"there is no source at {root}: check the plugin's path")
    for path in root.rglob("*"):
        inner = path.relative_to(root)
        if path.suffix in SOURCES and not any(part.startswith(".") for part in inner.parts):
            yield f"{root.name}/{inner.as_posix()}", path


def _with_text_keys(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_with_text_keys(entry) for entry in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
