"""Tables of chains: NAS-Bench-Macro (arXiv 2103.11922) and latencies of the FBNet space."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.benchmarks.readers import published
from nas.benchmarks.table import Codes, Column, SpaceRecord, Table
from nas.decision import Decision

MACRO_FILE, FBNET_FILE = "nas_bench_macro_cifar10.csv.gz", "fbnet_latency_dev.csv.gz"
MACRO_BLOCKS = ("identity", "mbconv_k3_e3", "mbconv_k5_e6")
# Candidates of FBNet (arXiv 1812.03443, table 2): kernel, expansion, groups.
FBNET_BLOCKS = (
    "k3_e1",
    "k3_e1_g2",
    "k3_e3",
    "k3_e6",
    "k5_e1",
    "k5_e1_g2",
    "k5_e3",
    "k5_e6",
    "skip",
)
MACRO = SpaceRecord("macro_chain", tuple(Decision(f"layer{i}", MACRO_BLOCKS) for i in range(1, 9)))
FBNET = SpaceRecord("fbnet", tuple(Decision(f"layer{i}", FBNET_BLOCKS) for i in range(1, 23)))


def macro(root: Path) -> Table:
    """All 3^8 chains of NAS-Bench-Macro: test accuracy of three seeds, parameters, MACs.

    The source trains on CIFAR-10's training set and measures on its test set only. Raises
    TableError for a file that is missing or not the published one.
    """
    head, lines = published.lines_of(root, MACRO_FILE)
    rows = [line.split(",") for line in lines]
    names = {f"acc_{i}": Column("accuracy", "cifar10", "test", None, i - 1) for i in (1, 2, 3)}
    names |= {"params": Column("parameters", "cifar10"), "flops": Column("macs", "cifar10")}
    values = np.array([[float(row[head.index(name)]) for row in rows] for name in names])
    notes = ("accuracies were measured on the test images; there is no validation figure",)
    codes = _digits([row[0] for row in rows])
    return Table("nas_bench_macro", MACRO, codes, tuple(names.values()), values, None, notes)


def fbnet(root: Path) -> Table:
    """Latencies in ms of 5,000 architectures of the FBNet space, by device and batch size.

    Raises TableError for a file that is missing or not the published one.
    """
    head, lines = published.lines_of(root, FBNET_FILE)
    rows = [line.split(",") for line in lines]
    codes = _digits([row[0] for row in rows])
    values = np.array([row[1:] for row in rows], dtype=np.float64).T
    kept = np.sort(np.unique(codes, axis=0, return_index=True)[1])
    columns = tuple(Column("latency_ms", device) for device in head[1:])
    return Table("fbnet_latency", FBNET, codes[kept], columns, values[:, kept])


def _digits(texts: list[str]) -> Codes:
    return published.coded([[int(digit) for digit in text] for text in texts])
