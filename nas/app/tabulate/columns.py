"""The columns of a table from the figures of its trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.analysis.summary import is_share
from nas.benchmarks import Column, SpaceRecord, Table

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """What is known of one training.

    Attributes:
        validation: figures by epochs.
        test: figures after the last epoch.
        seconds: of the whole training.
        sizes: ``parameters`` and ``macs`` of the network.
    """

    validation: Mapping[int, Figures]
    test: Figures
    seconds: float
    sizes: Figures


def table_of(
    name: str,
    record: SpaceRecord,
    codes: NDArray[np.uint8],
    dataset: str,
    metrics: Sequence[str],
    trained: Mapping[int, Sequence[Trained]],
) -> Table:
    """The table of trainings by seed, each with one `Trained` for every row of ``codes``.

    Shares are written in percent. The cost of an architecture is its seconds per epoch, mean over
    the seeds.
    """
    columns: list[Column] = []
    values: list[list[float]] = []
    lengths = sorted(next(iter(trained.values()))[0].validation)
    for metric in metrics:
        scale = 100.0 if is_share(metric) else 1.0
        for seed, rows in trained.items():
            for epochs in lengths:
                columns.append(Column(metric, dataset, "validation", epochs, seed))
                values.append([scale * row.validation[epochs][metric] for row in rows])
            columns.append(Column(metric, dataset, "test", lengths[-1], seed))
            values.append([scale * row.test[metric] for row in rows])
    first = next(iter(trained.values()))
    for size in first[0].sizes:
        columns.append(Column(size))
        values.append([row.sizes[size] for row in first])
    seconds = np.array([[row.seconds for row in rows] for rows in trained.values()]).mean(0)
    return Table(
        name, record, codes, tuple(columns), np.array(values, dtype=float), seconds / lengths[-1]
    )
