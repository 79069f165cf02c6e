"""Records of NATS-Bench (arXiv 2009.00437) as plain JSON: every run of a network, never unpickled.

The form is that of the benchmark's own dictionaries, ``{"tss": {index: {"arch": text, "runs":
[...]}}}`` for cells and ``"sss"`` for channel sizes; a run holds ``dataset``, ``seed``, ``epochs``
and ``eval_acc``, lists of [epoch, accuracy] by split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.benchmarks.errors import TableError
from nas.benchmarks.readers import published
from nas.benchmarks.readers.nasbench201 import SPACE, codes_of, text_of
from nas.benchmarks.table import Codes, Column, SpaceRecord, Table
from nas.decision import Decision

FILE = "nats_bench_six_archs.json.gz"
SPLITS = {"x-valid": "validation", "x-test": "test", "ori-test": "test"}
WIDTHS = tuple(range(8, 65, 8))
SIZES = SpaceRecord("nats_size", tuple(Decision(f"layer{i}", WIDTHS) for i in range(1, 6)))


def widths_of(texts: list[str]) -> Codes:
    """Codes (networks, layers) of strings ``8:16:64:8:40``."""
    number = {str(width): code for code, width in enumerate(WIDTHS)}
    return published.coded([[number[part] for part in text.split(":")] for text in texts])


@dataclass(frozen=True)
class Half:
    """One of the two spaces of NATS-Bench, and how its architectures are written."""

    title: str
    space: SpaceRecord
    codes: Callable[[list[str]], Codes]
    text: Callable[[tuple[int, ...]], str]


HALVES = {
    "tss": Half("topology", SPACE, codes_of, text_of),
    "sss": Half("size", SIZES, widths_of, lambda row: ":".join(str(WIDTHS[code]) for code in row)),
}


def six(root: Path) -> Table:
    """Three cells of the topology space with all their runs.

    Raises TableError for a file that is missing or not the published one.
    """
    return from_records(published.json_of(root, FILE), "nats_six")


def sizes(root: Path) -> Table:
    """Three networks of the size space with all their runs; raises TableError as above."""
    return from_records(published.json_of(root, FILE), "nats_size", "sss")


def from_records(records: Any, name: str, half: str = "tss") -> Table:
    """The table of NATS-Bench records: accuracies at the end of every run.

    Where a data set has ``x-test`` and ``ori-test`` the latter, which contains the validation
    images, becomes split ``test-all``.

    Args:
        records: as above.
        name: of the table.
        half: ``tss`` for cells, ``sss`` for channel sizes.

    Raises:
        TableError: the records are not of that form.
    """
    kind = HALVES[half]
    try:
        entries = records[half]
        texts = [str(entry["arch"]) for entry in entries.values()]
        figures = [_figures(entry, f"{half}/{index}") for index, entry in entries.items()]
        codes = kind.codes(texts)
        fault = _fault(kind, entries, texts, codes)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        raise TableError(f"{name} holds no NATS-Bench records of the {kind.title} space ({fault})")
    columns = tuple(sorted({column for row in figures for column in row}, key=str))
    values = [[row.get(column, np.nan) for row in figures] for column in columns]
    return Table(name, kind.space, codes, columns, np.array(values, dtype=np.float64))


def _fault(kind: Half, entries: Mapping[str, Any], texts: list[str], codes: Codes) -> str:
    """What is wrong with architectures that could be read at all; a text has one form only."""
    if not texts:
        return "there are none"
    if codes.shape[1] != len(kind.space.decisions):
        return f"{texts[0]!r} has {codes.shape[1]} of {len(kind.space.decisions)} choices"
    for index, text, row in zip(entries, texts, codes.tolist(), strict=True):
        if (well := kind.text(tuple(row))) != text:
            return f"architecture {index} is {text!r}, which is not written {well!r}"
    return ""


def _figures(entry: Mapping[str, Any], where: str) -> dict[Column, float]:
    figures: dict[Column, float] = {}
    for run in entry["runs"]:
        splits, epochs = run["eval_acc"], int(run["epochs"])
        for split, curve in splits.items():
            name = SPLITS[split]
            if split == "ori-test" and "x-test" in splits:
                name = "test-all"
            last, value = curve[-1]
            if int(last) + 1 == epochs:
                column = Column("accuracy", str(run["dataset"]), name, epochs, int(run["seed"]))
                if column in figures:
                    raise ValueError(f"{where} has two runs with {column.text}")
                figures[column] = float(value)
    return figures
