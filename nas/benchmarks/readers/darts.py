"""Tables of DARTS cells: 107 trained for 600 epochs, and 725 of NAS-Bench-301 with proxies."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nas.benchmarks.readers import published
from nas.benchmarks.table import Column, SpaceRecord, Table
from nas.decision import Choice, Decision

RANDOM_FILE, NB301_FILE = "darts_random107_dev.json.gz", "nb301_zero_cost_proxies.csv.gz"
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CELLS = {"normal": "normal", "reduce": "reduce"}
Pairs = Sequence[tuple[str, int]]


def _decisions() -> tuple[Decision, ...]:
    found = []
    for cell in CELLS:
        for node in range(2, 6):
            found += [Decision(f"{cell}/{i}->{node}", OPERATIONS) for i in range(node)]
            found.append(Decision(f"{cell}/node{node}/inputs", tuple(range(node)), pick=2))
    return tuple(found)


SPACE = SpaceRecord("darts", _decisions())


def random107(root: Path) -> Table:
    """107 random cells, final test accuracy on CIFAR-10 after 600 epochs (arXiv 1912.12522).

    The best epoch, which the source gives as well, was chosen on the test images and is left out.
    Raises TableError for a file that is missing or not the published one.
    """
    entries = published.json_of(root, RANDOM_FILE)
    rows = []
    for entry in entries:
        cells = {cell: [(str(op), int(i)) for op, i in entry[cell]] for cell in CELLS}
        rows.append(SPACE.encode(genotype(cells)))
    values = np.array([[float(entry["final_acc"]) for entry in entries]])
    columns = (Column("accuracy", "cifar10", "test", 600),)
    return Table("darts_random107", SPACE, *_distinct(rows, columns, values))


def nasbench301(root: Path) -> Table:
    """725 cells with the accuracy that NAS-Bench-301 predicts (arXiv 2008.09777) and 12 proxies.

    Raises TableError for a file that is missing or not the published one.
    """
    text = published.content(root, NB301_FILE).decode("ascii")
    entries = list(csv.DictReader(text.splitlines()))
    rows = []
    for entry in entries:
        lists = json.loads(entry["arch"].replace("(", "[").replace(")", "]"))
        pairs = ([(OPERATIONS[op], int(i)) for i, op in cell] for cell in lists)
        rows.append(SPACE.encode(genotype(dict(zip(CELLS, pairs, strict=True)))))
    names = [name for name in entries[0] if name not in ("dataset", "arch")]
    metrics = {"val_metric": Column("accuracy", "cifar10", "validation", 100)}
    columns = tuple(metrics.get(name, Column(f"nb301_{name}", "cifar10")) for name in names)
    values = np.array([[float(entry[name] or "nan") for entry in entries] for name in names])
    notes = ("accuracies are predictions of a surrogate, not trainings",)
    return Table("nasbench301", SPACE, *_distinct(rows, columns, values), None, notes)


def genotype(cells: Mapping[str, Pairs]) -> dict[str, Choice]:
    """The choices of cells given as two (operation, input) pairs for each node in turn."""
    choices: dict[str, Choice] = {}
    for cell, pairs in cells.items():
        for place, (operation, source) in enumerate(pairs):
            node = 2 + place // 2
            choices[f"{cell}/{source}->{node}"] = operation
            if place % 2:
                inputs = sorted((pairs[place - 1][1], source))
                choices[f"{cell}/node{node}/inputs"] = tuple(inputs)
    return choices


def _distinct(
    rows: list[tuple[int, ...]], columns: tuple[Column, ...], values: np.ndarray
) -> tuple[np.ndarray, tuple[Column, ...], np.ndarray]:
    """The first of equal architectures: two orders of a node's inputs are one genotype."""
    codes = published.coded(rows)
    kept = np.sort(np.unique(codes, axis=0, return_index=True)[1])
    return codes[kept], columns, values[:, kept]
