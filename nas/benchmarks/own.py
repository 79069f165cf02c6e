"""Tables of the user's own: a JSON file of nas, or NATS-Bench records; told apart by content."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.benchmarks.errors import QueryError, TableError
from nas.benchmarks.readers.nats import HALVES, from_records
from nas.benchmarks.store import table_of
from nas.benchmarks.table import Table
from nas.files import read_bytes

_NAME = re.compile(r"(?P<path>.+\.json(?:\.gz)?)(?::(?P<half>\w*))?")
_PICKLES = (".pickle", ".pkl", ".pbz2", ".pth", ".pt")


def is_own(name: str) -> bool:
    """Whether a table's name means a file of the user's."""
    return _NAME.fullmatch(name) is not None or name.endswith(_PICKLES)


def own_table(name: str) -> Table:
    """The table in a file: one that `store.write_table` wrote, or NATS-Bench records.

    Args:
        name: ``FILE.json`` or ``FILE.json.gz``; with ``:tss`` or ``:sss`` behind it the half of
            NATS-Bench records that is meant. Without, cells (tss) where the file holds both.

    Raises:
        QueryError: the name asks for a half that there is not.
        TableError: the file is a pickle, damaged, or neither of the two.
        NasError: it cannot be read.
    """
    named = _NAME.fullmatch(name)
    if named is None:
        raise TableError(
            f"{name} is a pickle, and nas unpickles nothing; make JSON of it as "
            "docs/benchmarks.md says (Records of NATS-Bench) and give that"
        )
    file, wanted = Path(named["path"]).expanduser(), named["half"]
    if wanted not in (None, *HALVES):
        raise QueryError(f"{name} ends in {wanted!r}; a half of NATS-Bench is tss or sss")
    record = _content(file)
    if isinstance(record, dict) and wanted is None and "schema" in record:
        return table_of(record, file)
    halves = [half for half in HALVES if isinstance(record, dict) and half in record]
    if not halves and wanted is None:
        raise TableError(
            f"{file} is neither a table that nas wrote ('schema', 'columns', ...) nor NATS-Bench "
            f"records ('tss' or 'sss'): it holds {_held(record)}; docs/benchmarks.md shows both"
        )
    if wanted not in (None, *halves):
        there = ", ".join(halves) or "none"
        raise QueryError(f"{file} has no NATS-Bench records {wanted!r}; it has {there}")
    return _half(record, file, wanted or halves[0], halves)


def _half(record: Any, file: Path, half: str, halves: list[str]) -> Table:
    table = from_records(record, file.name.partition(".json")[0], half)
    others = [other for other in halves if other != half]
    notes = [
        f"{file.name} also holds the {HALVES[other].title} space: table={file}:{other}"
        for other in others
    ]
    return replace(table, notes=(*table.notes, *notes))


def _held(record: Any) -> str:
    if not isinstance(record, dict):
        return f"one {type(record).__name__}"
    keys = [repr(str(key)) for key in list(record)[:4]]
    return ", ".join([*keys[:3], *(["..."] if len(keys) > 3 else [])]) or "nothing"


def _content(file: Path) -> Any:
    raw = read_bytes(file)
    try:
        return json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{file} cannot be unpacked ({error}); write it again") from error
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise TableError(f"{file} is damaged, it holds no JSON{where}; write it again") from error
