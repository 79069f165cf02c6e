"""Tables as files of ours: ``NAME.npz`` with the numbers, ``NAME.json`` with what they are.

The JSON names the space, its decisions and the columns, the provenance, and the SHA-256 of the
numbers. Nothing in either is executed or unpickled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nas.benchmarks.errors import TableError
from nas.benchmarks.table import Column, SpaceRecord, Table
from nas.decision import Decision
from nas.errors import NasError
from nas.files import PathText, read_bytes, read_json, sha256, write_atomic, write_json

SCHEMA = 1


def write_table(table: Table, folder: PathText, provenance: Mapping[str, Any]) -> Path:
    """Write both files of a table and return the path of the JSON, which is written last.

    Values are kept in single precision. Raises NasError where the folder cannot be written.
    """
    arrays = {"codes": table.codes, "values": table.values.astype(np.float32)}
    if table.seconds is not None:
        arrays["seconds"] = table.seconds.astype(np.float32)
    raw = io.BytesIO()
    np.savez_compressed(raw, **arrays)  # type: ignore[arg-type]
    content = raw.getvalue()
    write_atomic(Path(folder) / f"{table.name}.npz", content)
    record = {
        "schema": SCHEMA,
        "name": table.name,
        "space": {
            "name": table.space.name,
            "settings": dict(table.space.settings),
            "decisions": [decision.to_json() for decision in table.space.decisions],
        },
        "architectures": len(table),
        "columns": [asdict(column) for column in table.columns],
        "notes": list(table.notes),
        "provenance": dict(provenance),
        "sha256": sha256(content),
    }
    return write_json(Path(folder) / f"{table.name}.json", record)


def read_table(path: PathText) -> Table:
    """The table whose JSON file this is.

    Raises:
        TableError: a file is missing, damaged, or not the one that the JSON was written with.
    """
    return table_of(read_json(path), Path(path))


def table_of(record: Any, file: Path) -> Table:
    """The table whose JSON file ``file`` holds ``record``; raises as `read_table` does."""
    try:
        if record["schema"] != SCHEMA:
            raise TableError(f"{file} has schema {record['schema']}; this version reads {SCHEMA}")
        decisions = tuple(Decision.from_json(each) for each in record["space"]["decisions"])
        space = SpaceRecord(record["space"]["name"], decisions, record["space"]["settings"])
        columns = tuple(Column(**each) for each in record["columns"])
        name, digest, notes = record["name"], record["sha256"], tuple(record["notes"])
    except (KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{file} is no table of ours ({type(error).__name__}: {error})") from error
    numbers = file.with_suffix(".npz")
    content = read_bytes(numbers)
    if sha256(content) != digest:
        raise TableError(
            f"{numbers} was altered or cut: its SHA-256 is not the one in {file.name}; "
            "restore both files"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            codes, values = arrays["codes"], arrays["values"].astype(np.float64)
            seconds = arrays["seconds"].astype(np.float64) if "seconds" in arrays else None
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise TableError(f"{numbers} holds no table ({error})") from error
    return Table(name, space, codes, columns, values, seconds, notes)


def provenance(path: PathText) -> Mapping[str, Any]:
    """What the JSON file of a table says of its making; NasError where it cannot be read."""
    record = read_json(path)
    found = record.get("provenance") if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise NasError(f"{path} says nothing of its making")
    return found
