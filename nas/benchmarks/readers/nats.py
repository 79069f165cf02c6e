"""Records of NATS-Bench (arXiv 2009.00437) as plain JSON: every run of a cell, never unpickled.

The form is that of the benchmark's own dictionaries, ``{"tss": {index: {"arch": text, "runs":
[...]}}}``; a run holds ``dataset``, ``seed``, ``epochs`` and ``eval_acc``, lists of [epoch,
accuracy] by split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.benchmarks.errors import TableError
from nas.benchmarks.readers import published
from nas.benchmarks.readers.nasbench201 import SPACE, codes_of
from nas.benchmarks.table import Column, Table

FILE = "nats_bench_six_archs.json.gz"
SPLITS = {"x-valid": "validation", "x-test": "test", "ori-test": "test"}


def six(root: Path) -> Table:
    """Three cells of the topology space with all their runs.

    Raises TableError for a file that is missing or not the published one.
    """
    return from_records(published.json_of(root, FILE), "nats_six")


def from_records(records: Any, name: str) -> Table:
    """The table of NATS-Bench records: accuracies at the end of every run.

    Where a data set has ``x-test`` and ``ori-test`` the latter, which contains the validation
    images, becomes split ``test-all``.

    Raises:
        TableError: the records are not of that form.
    """
    try:
        cells = records["tss"]
        found = [_figures(cell) for cell in cells.values()]
        codes = codes_of([cell["arch"] for cell in cells.values()])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise TableError(
            f"{name} holds no NATS-Bench records of the topology space "
            f"({type(error).__name__}: {error})"
        ) from error
    columns = tuple(sorted({column for figures in found for column in figures}, key=str))
    rows = [[figures.get(column, np.nan) for figures in found] for column in columns]
    return Table(name, SPACE, codes, columns, np.array(rows, dtype=np.float64))


def _figures(cell: Mapping[str, Any]) -> dict[Column, float]:
    figures: dict[Column, float] = {}
    for run in cell["runs"]:
        splits, epochs = run["eval_acc"], int(run["epochs"])
        for split, curve in splits.items():
            name = SPLITS[split]
            if split == "ori-test" and "x-test" in splits:
                name = "test-all"
            last, value = curve[-1]
            if int(last) + 1 == epochs:
                column = Column("accuracy", run["dataset"], name, epochs, int(run["seed"]))
                figures[column] = float(value)
    return figures
