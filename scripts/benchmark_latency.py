"""How well an additive table predicts latencies of published devices: the baseline of predictors.

    NAS_DATA_DIR=FOLDER python scripts/benchmark_latency.py

Of each device of a table 1,000 architectures are drawn. One time for each candidate of each
decision and an intercept are fitted to them by least squares; all others judge. Printed per device:
the mean relative error, the error that a tenth of the architectures exceeds, and Kendall's tau-b;
means over the seeds, with the standard deviation of the first.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to check

from nas import console  # noqa: E402
from nas.benchmarks.registry import load  # noqa: E402
from nas.benchmarks.table import Codes  # noqa: E402
from nas.profile.quality import Quality, quality  # noqa: E402

TABLES = ("nasbench201_latency", "fbnet_latency")
Numbers = NDArray[np.float64]


def one_hot(codes: Codes, sizes: Sequence[int]) -> Numbers:
    """Ones for the chosen candidates of every decision, and for the intercept: (n, columns)."""
    parts = [np.eye(size)[codes[:, place]] for place, size in enumerate(sizes)]
    return np.concatenate([np.ones((len(codes), 1)), *parts], axis=1)


def fit(features: Numbers, labels: Numbers) -> Numbers:
    """The least-squares solution of smallest norm, as columns of a decision add up to the first."""
    solution, *_ = np.linalg.lstsq(features, labels, rcond=None)
    return np.asarray(solution)


def judge(features: Numbers, truth: Numbers, labels: int, seed: int) -> Quality:
    """The errors on all architectures but the ``labels`` ones that the table was fitted to."""
    order = np.random.default_rng(seed).permutation(len(truth))
    fitted, rest = order[:labels], order[labels:]
    return quality(features[rest] @ fit(features[fitted], truth[fitted]), truth[rest])


def rows_of(name: str, root: Path, labels: int, seeds: int) -> list[list[str]]:
    """A row of the printed table for each device."""
    table = load(name, root)
    features = one_hot(table.codes, [len(d) for d in table.space.decisions])
    rows = []
    for column, values in zip(table.columns, table.values, strict=True):
        known = np.isfinite(values)
        found = [judge(features[known], values[known], labels, seed) for seed in range(seeds)]
        means = np.array([q.mean for q in found])
        rows.append(
            [
                str(column.dataset),
                str(int(known.sum()) - labels),
                f"{100 * means.mean():.2f} ({100 * means.std(ddof=1):.2f})",
                f"{100 * np.mean([q.worst_decile for q in found]):.2f}",
                f"{np.mean([q.kendall for q in found]):.3f}",
            ]
        )
    return rows


def main() -> None:
    """Print the errors of every device of both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("NAS_DATA_DIR", "data")))
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    heads = ("device", "judged", "relative error, % (sd)", "worst decile, %", "kendall")
    for name in TABLES:
        console.say(f"{name}: {given.labels} labels, seeds 0 to {given.seeds - 1}")
        console.table(rows_of(name, given.root, given.labels, given.seeds), heads)
        console.say()


if __name__ == "__main__":
    main()
