"""Checkpoints that are whole or absent, checked before they are believed.

A file is a fixed header (mark, format, length of the payload, SHA-256 of all else) and the bytes
of ``torch.save``. It is loaded with ``weights_only=True`` and only after the digest was checked.
"""

import hashlib
import io
import os
import re
import struct
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.errors import ConfigError, NasError
from nas.files import read_bytes, remove_temporaries, write_atomic

FORMAT = 1
_MARK = b"nas.checkpoint"
_HEADER = struct.Struct(f">{len(_MARK)}sHQ32s")
_DIGEST_START = _HEADER.size - 32
_NAME = re.compile(r"(\d{4,})-(\d{8,})\.ckpt")
# What torch's restricted loader reads back; of bytes it refuses the empty ones, and long integers.
_LEAVES = (bool, complex, torch.dtype, torch.device)
_LONGEST_INT = 2000


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that passed all checks; its tensors are on the CPU."""

    state: dict[str, Any]
    path: Path
    epoch: int
    step: int


class _RefusedError(Exception):
    """The reason why a file is not used, as the end of a sentence."""


class Checkpointer:
    """Writes and finds the checkpoints of one stage of one run.

    Files are named ``<epoch>-<step>.ckpt``. ``owner`` (the run's hash) is stored in each; files of
    another owner are refused. ``keep`` is how many of the newest stay. Opening a folder removes
    the temporary files that a killed process left there.
    """

    def __init__(self, directory: str | os.PathLike[str], owner: str, keep: int = 2) -> None:
        """Remove temporary files left in ``directory``; ConfigError if ``keep`` is below 1."""
        if keep < 1:
            raise ConfigError(f"a run keeps at least 1 checkpoint, not {keep}; set keep=1 or more")
        self.directory = Path(directory)
        self.owner = owner
        self.keep = keep
        self.refused: list[str] = []
        self._set_aside: set[Path] = set()
        remove_temporaries(self.directory)

    def save(self, state: Mapping[str, Any], epoch: int, step: int) -> Path:
        """Write ``state`` durably, then drop all but the newest ``keep`` files.

        ``state`` is made of dicts, lists, tuples, tensors, numbers and texts. Raises NasError,
        with the earlier files in place, for a tensor with NaN or infinity, for a value that could
        not be loaded again, and when the disk is full.
        """
        plain = self._checked(state)
        path = self.directory / f"{epoch:04d}-{step:08d}.ckpt"
        write_atomic(path, _encode({"owner": self.owner, "epoch": epoch, "step": step, **plain}))
        self._set_aside.discard(path)
        self._prune(path)
        return path

    def latest(self) -> Loaded | None:
        """Return the newest usable checkpoint, or None; ``refused`` tells what was passed over."""
        self.refused = []
        self._set_aside = set()
        for path in reversed(self.files()):
            try:
                return self._read(path)
            except _RefusedError as reason:
                self.refused.append(f"checkpoint {path} is not used: {reason}")
                self._set_aside.add(path)
        return None

    def files(self) -> list[Path]:
        """Return the checkpoint files by epoch and step, oldest first, without checking them."""
        named = (path for path in self.directory.glob("*.ckpt") if _NAME.fullmatch(path.name))
        return sorted(named, key=_position)

    def clear(self) -> None:
        """Remove all checkpoint files of the folder, for a start from nothing."""
        for path in self.files():
            with suppress(OSError):
                path.unlink()

    def _checked(self, state: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"state": _plain(state, "")}
        except NasError as error:
            files = [path.name for path in self.files() if path not in self._set_aside]
            kept = f"; the last good checkpoint, {files[-1]}, is kept" if files else ""
            raise NasError(f"{error}{kept}") from None

    def _read(self, path: Path) -> Loaded:
        try:
            content = read_bytes(path)
        except NasError as error:
            raise _RefusedError(str(error)) from error
        record = _decode(content)
        if record["owner"] != self.owner:
            raise _RefusedError(f"it belongs to run {record['owner']}, this is run {self.owner}")
        return Loaded(record["state"], path, record["epoch"], record["step"])

    def _prune(self, saved: Path) -> None:
        """Keep the newest files up to ``saved``; leave alone what `latest` refused or lies ahead.

        A file ahead of the one just written is no successor of it: it was refused, or another
        start of the run wrote it. Counting it would delete the run's own progress.
        """
        mine = [path for path in self.files() if path not in self._set_aside]
        behind = [path for path in mine if _position(path) <= _position(saved)]
        for path in behind[: -self.keep]:
            with suppress(OSError):
                path.unlink()


def _position(path: Path) -> tuple[int, int]:
    epoch, step = path.stem.split("-")
    return int(epoch), int(step)


def _encode(record: Mapping[str, Any]) -> memoryview:
    buffer = io.BytesIO(bytes(_HEADER.size))
    buffer.seek(_HEADER.size)
    torch.save(dict(record), buffer)
    content = buffer.getbuffer()
    size = len(content) - _HEADER.size
    _HEADER.pack_into(content, 0, _MARK, FORMAT, size, bytes(32))
    _HEADER.pack_into(content, 0, _MARK, FORMAT, size, _digest(content))
    return content


def _digest(content: memoryview) -> bytes:
    digest = hashlib.sha256(content[:_DIGEST_START])
    digest.update(content[_HEADER.size :])
    return digest.digest()


def _decode(content: bytes) -> dict[str, Any]:
    if not content:
        raise _RefusedError("it is empty")
    if len(content) < _HEADER.size or not content.startswith(_MARK):
        raise _RefusedError("it is no checkpoint of this program")
    view = memoryview(content)
    _, version, size, digest = _HEADER.unpack_from(view)
    if len(view) - _HEADER.size < size:
        raise _RefusedError(f"it is truncated ({len(view) - _HEADER.size} of {size} bytes)")
    if _digest(view) != digest:
        raise _RefusedError("it is damaged, its SHA-256 does not match")
    if version != FORMAT:
        raise _RefusedError(f"it has format {version}, this version of nas reads format {FORMAT}")
    try:
        record = torch.load(io.BytesIO(view[_HEADER.size :]), map_location="cpu", weights_only=True)
    except Exception as error:  # the loader fails in many ways; each means that we did not write it
        raise _RefusedError("its content cannot be loaded safely") from error
    if not isinstance(record, dict) or record.keys() != {"owner", "epoch", "step", "state"}:
        raise _RefusedError("its content is not that of a checkpoint")
    return record


def _plain(value: object, where: str) -> Any:
    """Return ``value`` with detached tensors and python numbers, or raise NasError saying where.

    Done before writing: torch saves more types than its restricted loader takes, and a checkpoint
    that fails on resume is worth nothing.
    """
    if value is None or isinstance(value, _LEAVES):
        return value
    if isinstance(value, Tensor):
        return _plain_tensor(value, where)
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration of texts the text: its class would not load
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and value.bit_length() <= _LONGEST_INT:
        return int(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, list | tuple):
        entries = (_plain(entry, f"{where}/{index}") for index, entry in enumerate(value))
        return list(entries) if isinstance(value, list) else tuple(entries)
    raise NasError(
        f"checkpoint not written: entry {where.lstrip('/')!r} is a {type(value).__name__}; "
        "make it of dicts, lists, tensors, numbers and texts"
    )


def _plain_mapping(value: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    items = {_plain(key, where): _plain(entry, f"{where}/{key}") for key, entry in value.items()}
    if not isinstance(value, OrderedDict):
        return items
    ordered = OrderedDict(items)
    if metadata := getattr(value, "_metadata", None):  # versions of modules, read on loading
        ordered._metadata = _plain(metadata, where)  # type: ignore[attr-defined]
    return ordered


def _plain_tensor(value: Tensor, where: str) -> Tensor:
    name = where.lstrip("/")
    plain = value.detach()
    if type(plain) is not Tensor or plain.layout != torch.strided or plain.is_meta:
        raise NasError(
            f"checkpoint not written: entry {name!r} is no ordinary tensor; make it a dense one"
        )
    inexact = plain.is_floating_point() or plain.is_complex()
    if inexact and not bool(torch.isfinite(plain).all()):
        raise NasError(
            f"checkpoint not written: {name!r} holds NaN or infinity, so training has diverged: "
            "lower the learning rate, clip gradients harder or use precision=fp32"
        )
    return plain
