"""NAS-Bench-201 (arXiv 2001.00326) from CSV files: sizes, accuracies, latencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.readers import published
from nas.benchmarks.table import Codes, Column, SpaceRecord, Table
from nas.decision import Decision

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
SPACE = SpaceRecord("nasbench201", tuple(Decision(f"cell/{i}->{j}", OPERATIONS) for i, j in EDGES))
FILES = ("nb201_architectures.csv.gz", "nb201_12ep_val.csv.gz", "nb201_200ep_test_dev.csv.gz")
LATENCIES = "nb201_latency_dev.csv.gz"
_SETS = {"c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}
_OUTPUTS = {"c10": "10", "c100": "100", "in16": "120"}


def nasbench201(root: Path) -> Table:
    """All 15,625 cells: parameters, MACs, validation after 12 epochs, test after 200 where known.

    Accuracies are means over the published seeds. MACs count the classifier's bias, as the source
    does. Raises TableError for a file that is missing or not the published one.
    """
    head, lines = published.lines_of(root, FILES[0])
    rows = [line.split(",") for line in lines]
    codes = codes_of([row[head.index("arch")] for row in rows])
    columns: list[Column] = []
    values: list[NDArray[np.float64]] = []
    for short, dataset in _SETS.items():
        for metric, key in (
            ("parameters", f"params_{_OUTPUTS[short]}"),
            ("macs", f"flops_{short}"),
        ):
            place = head.index(key)
            columns.append(Column(metric, dataset))
            values.append(np.array([float(row[place]) for row in rows]))
    for name, split, epochs, key in (
        (FILES[1], "validation", 12, "val"),
        (FILES[2], "test", 200, "test"),
    ):
        titles, numbers = published.numbers_of(root, name)
        for short, dataset in _SETS.items():
            columns.append(Column("accuracy", dataset, split, epochs))
            values.append(spread(numbers, titles.index(f"{short}_{key}"), len(rows)))
    notes = (
        "test figures come from training on training and validation images together, "
        "validation figures from half of the training images",
    )
    return Table("nasbench201", SPACE, codes, tuple(columns), np.stack(values), None, notes)


def latencies(root: Path) -> Table:
    """Latencies of all cells in ms by device and batch size; raises TableError as above."""
    codes = cells(root)
    titles, numbers = published.numbers_of(root, LATENCIES)
    columns = tuple(Column("latency_ms", device) for device in titles[1:])
    values = np.stack([spread(numbers, place, len(codes)) for place in range(1, len(titles))])
    return Table("nasbench201_latency", SPACE, codes, columns, values)


def cells(root: Path) -> Codes:
    """Codes (15,625, edges) of all cells by the number of the architecture; raises as above."""
    head, lines = published.lines_of(root, FILES[0])
    return codes_of([line.split(",")[head.index("arch")] for line in lines])


def spread(numbers: NDArray[np.float64], column: int, count: int) -> NDArray[np.float64]:
    """A column of rows that begin with the number of the architecture; NaN for those not there."""
    found = np.full(count, np.nan)
    found[numbers[:, 0].astype(int)] = numbers[:, column]
    return found


def codes_of(texts: list[str]) -> Codes:
    """Codes (cells, edges) of strings ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` that are well formed.

    The text of a user is read by the space itself, which says what is wrong in it.
    """
    number = {name: code for code, name in enumerate(OPERATIONS)}
    rows = [
        [number[part.partition("~")[0]] for part in text.replace("+", "").split("|") if part]
        for text in texts
    ]
    return published.coded(rows)


def text_of(row: tuple[int, ...]) -> str:
    """The string of a row of codes, which `codes_of` reads."""
    parts = [f"{OPERATIONS[code]}~{source}" for code, (source, _) in zip(row, EDGES, strict=True)]
    return "+".join(f"|{'|'.join(parts[first:last])}|" for first, last in ((0, 1), (1, 3), (3, 6)))
