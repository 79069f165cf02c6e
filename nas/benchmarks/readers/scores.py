"""Published zero-cost scores of NAS-Bench-201 cells (NAS-Bench-Suite-Zero, arXiv 2210.03230)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from nas.benchmarks.readers import published
from nas.benchmarks.readers.nasbench201 import SPACE, cells
from nas.benchmarks.table import Column, Table

FILE = "nb201_zero_cost_proxies.csv.gz"
_MILLIONS = {"flops": "nb201_flops_M", "params": "nb201_params_M"}
_KEYS = ("dataset", "index")


def proxies(root: Path) -> Table:
    """12 scores of 725 cells on three data sets, and validation accuracy (percent) of 72 of them.

    Scores are as the source computed them, FLOPs and parameters in millions; its FLOPs follow a
    convention of their own. Raises TableError for a file that is missing or not the published one.
    """
    text = published.content(root, FILE).decode("ascii")
    entries = list(csv.DictReader(text.splitlines()))
    numbers = sorted({int(entry["index"]) for entry in entries})
    row = {number: place for place, number in enumerate(numbers)}
    datasets = list(dict.fromkeys(entry["dataset"] for entry in entries))
    keys = [key for key in entries[0] if key not in _KEYS]
    columns = [_column(key, dataset) for dataset in datasets for key in keys]
    place = {column: index for index, column in enumerate(columns)}
    values = np.full((len(columns), len(numbers)), np.nan)
    for entry in entries:
        for key in keys:
            column = place[_column(key, entry["dataset"])]
            values[column, row[int(entry["index"])]] = float(entry[key] or "nan")
    notes = ("accuracies after 200 epochs are known of 72 cells",)
    codes = cells(root)[numbers]
    return Table("nasbench201_proxies", SPACE, codes, tuple(columns), values, None, notes)


def _column(key: str, dataset: str) -> Column:
    if key == "val_accuracy":
        return Column("accuracy", dataset, "validation", 200)
    return Column(_MILLIONS.get(key, f"nb201_{key}"), dataset)
