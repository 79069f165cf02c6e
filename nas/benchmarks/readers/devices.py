"""NAS-Bench-201 cells (arXiv 2001.00326) measured on two small devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.benchmarks.readers import published
from nas.benchmarks.readers.nasbench201 import SPACE, cells, spread
from nas.benchmarks.table import Column, Table

PI5_FILE, MCU_FILE = "nb201_pi5_onnx_dev.csv.gz", "nb201_mcu_sample35.csv"
PI5, MCU = "pi5_onnx", "nrf5340"
# Metric and what its column has to be multiplied with. The sizes of the source are whole bytes
# over 1024 although it calls them kB.
_MCU = {
    "latency_s": ("latency_ms", 1e3),
    "energy_mJ": ("energy_mJ", 1.0),
    "int8_kb": ("int8_model_KiB", 1.0),
    "arena_used_kb": ("arena_KiB", 1.0),
}


def pi5(root: Path) -> Table:
    """Latency in ms and energy in mJ of all cells on a Raspberry Pi 5 under ONNX Runtime.

    Raises TableError for a file that is missing or not the published one.
    """
    codes = cells(root)
    titles, numbers = published.numbers_of(root, PI5_FILE)
    metrics = {"latency_ms": "lat_ms", "energy_mJ": "energy_mj"}
    columns = tuple(Column(metric, PI5) for metric in metrics)
    values = np.stack(
        [
            spread(numbers, titles.index(f"pi5_onnx_cifar100_{key}"), len(codes))
            for key in metrics.values()
        ]
    )
    notes = (
        "networks for CIFAR-100; equal networks were measured once and share their values",
        "networks without a path to their output cost next to nothing: leave them out of logarithms"
        " and relative errors",
    )
    return Table("nasbench201_pi5", SPACE, codes, columns, values, None, notes)


def mcu(root: Path) -> Table:
    """35 cells on an nRF5340 board: latency in ms, energy in mJ, int8 model and arena in KiB.

    Raises TableError for a file that is missing or not the published one.
    """
    titles, numbers = published.numbers_of(root, MCU_FILE)
    codes = cells(root)[numbers[:, titles.index("index")].astype(int)]
    columns = tuple(Column(metric, MCU) for metric, _ in _MCU.values())
    values = [numbers[:, titles.index(key)] * factor for key, (_, factor) in _MCU.items()]
    return Table("nasbench201_mcu", SPACE, codes, columns, np.stack(values))
