"""A curriculum beside the fixed space: accuracies in a table of what the policy prefers.

Searches NAS-Bench-201 with strategy=cnas, once in stages and once with everything from the start
(strategy.curriculum.stages=1), with every seed, and looks up in the published table what the
policy prefers after every epoch. A curve is the running mean over a few epochs. Prints for each
seed what was found, the last point of both curves, and after which share of the steps the
curriculum's curve reaches the other one's last point. What is finished is not run again.

    python scripts/compare_curriculum.py -- data=cifar10 data.samples=2000 trainer.epochs=60
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

import nas  # noqa: E402
from nas import console  # noqa: E402
from nas.analysis.statistics import differences, signed_rank  # noqa: E402
from nas.benchmarks.query import Query, select  # noqa: E402
from nas.benchmarks.registry import load  # noqa: E402
from nas.files import read_json  # noqa: E402
from nas.store.folder import RunFolder  # noqa: E402

ARMS = {"curriculum": "null", "fixed": "1"}


class Truth:
    """Validation accuracy in percent of a cell trained for 12 epochs on CIFAR-10, as published."""

    def __init__(self, root: Path) -> None:
        self._table = load("nasbench201", root)
        self._values = select(self._table, Query("accuracy", "cifar10", "validation", 12)).mean

    def __call__(self, genotype: Path) -> float:
        """Of the cell in a genotype file."""
        choices = read_json(genotype)["choices"]
        names = self._table.space.by_name
        return float(
            self._values[self._table.row({n: c for n, c in choices.items() if n in names})]
        )


def main() -> None:
    """Search and print."""
    args = arguments()
    truth, rows, pairs = Truth(args.root), [], []
    for seed in args.seeds:
        found = {arm: run(args, arm, seed) for arm in ARMS}
        curves = {arm: curve(folder, truth, args.window) for arm, folder in found.items()}
        derived = {arm: truth(folder.genotype) for arm, folder in found.items()}
        reached = np.flatnonzero(curves["curriculum"] >= curves["fixed"][-1])
        share = (reached[0] + 1) / len(curves["curriculum"]) if len(reached) else None
        pairs.append([derived["curriculum"], derived["fixed"], share])
        rows.append(
            [
                str(seed),
                *(f"{derived[arm]:.2f}" for arm in ARMS),
                *(f"{curves[arm][-1]:.2f}" for arm in ARMS),
                "never" if share is None else f"{share:.0%}",
            ]
        )
    heads = ("seed", *(f"found, {arm}" for arm in ARMS), *(f"curve's end, {arm}" for arm in ARMS))
    console.table(rows, (*heads, "share of the steps"))
    columns = {arm: [pair[place] for pair in pairs] for place, arm in enumerate(ARMS)}
    for arm, values in columns.items():
        console.say(f"{arm}: found {fmean(values):.2f} ({stdev(values):.2f})")
    gained = differences(columns["curriculum"], columns["fixed"])
    console.say(
        f"curriculum - fixed: {fmean(gained):+.2f} ({stdev(gained):.2f}), signed ranks "
        f"p = {signed_rank(gained):.3f}"
    )


def run(args: argparse.Namespace, arm: str, seed: int) -> RunFolder:
    """One search."""
    words = ["space=nasbench201", "strategy=cnas", f"strategy.curriculum.stages={ARMS[arm]}"]
    words += [f"seed={seed}", "stages=[search,derive]", f"runs={args.runs}"]
    return RunFolder(nas.search(*words, *args.settings, quiet=True).folder)


def curve(folder: RunFolder, truth: Truth, window: int) -> NDArray[np.float64]:
    """Running means of the accuracies of what the policy prefers, over ``window`` epochs."""
    files = sorted((folder.path / "genotypes").glob("epoch_*.json"))
    values = np.array([truth(file) for file in files])
    padded = np.concatenate([np.full(window - 1, values[0]), values])
    return np.convolve(padded, np.full(window, 1 / window), "valid")


def arguments() -> argparse.Namespace:
    """The command line; what follows ``--`` are settings of nas search."""
    parser = argparse.ArgumentParser(description="A curriculum beside the fixed space.")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(6)))
    parser.add_argument("--window", type=int, default=5, help="epochs of the running mean")
    parser.add_argument("--root", type=Path, required=True, help="the data directory")
    parser.add_argument("--runs", type=Path, default=Path("runs/curriculum"))
    parser.add_argument("settings", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    main()
