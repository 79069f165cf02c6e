"""Searches under budgets: do the limits hold, how multipliers move, and what fixed weights do.

Draws random networks of the space, takes quantiles of their costs as limits, and searches under
each with every seed: with multipliers that adapt, and with each fixed weight of the penalty. Prints
a table and draws the multipliers of the first seed. What is finished is not run again.

    python scripts/compare_budgets.py --out budget.svg -- strategy=pc_darts data=digits
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

import nas  # noqa: E402
from nas.analysis.curves import Chart, charts_of, line_figure  # noqa: E402
from nas.analysis.svg import svg_bytes  # noqa: E402
from nas.build import Parts, data_source  # noqa: E402
from nas.cli.compose import composed  # noqa: E402
from nas.cli.positional import parse  # noqa: E402
from nas.cli.verbs import VERBS  # noqa: E402
from nas.engine.device import set_threads  # noqa: E402
from nas.files import read_json, write_atomic  # noqa: E402
from nas.space import sample  # noqa: E402
from nas.store.metrics import MetricsFile  # noqa: E402

DRAWN = 500
STAGES = {True: "[search,derive,retrain,evaluate]", False: "[search,derive]"}


def main() -> None:
    """Search, print, draw."""
    args = arguments()
    found = quantiles(args.settings, args.costs, args.levels)
    print("| budget | weight | met | policy's own, relative to its limits | derived | accuracy % |")
    print("|---|---|---|---|---|---|")
    for level, limits in found.items():
        for weight in (None, *args.weights):
            runs = [run(args, limits, weight, seed) for seed in args.seeds]
            print(row(level, limits, weight, runs), flush=True)
            if weight is None and level == args.levels[0]:
                draw(runs[0]["folder"], args.out)


def quantiles(
    words: Sequence[str], costs: Sequence[str], levels: Sequence[float]
) -> dict[float, dict[str, float]]:
    """For each share of random networks the limits below which that share lies, cost by cost."""
    cfg = composed(parse(VERBS["search"], list(words)), list(words))
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    set_threads(cfg.threads, parts.data.spec.size)
    generator = torch.Generator().manual_seed(0)
    drawn = [parts.cost_of(sample(parts.space, generator)) for _ in range(DRAWN)]
    values = {name: np.array([each[name] for each in drawn]) for name in costs}
    return {
        level: {name: float(f"{np.quantile(row, level):.4g}") for name, row in values.items()}
        for level in levels
    }


def run(
    args: argparse.Namespace, limits: Mapping[str, float], weight: float | None, seed: int
) -> dict[str, Any]:
    """One search under limits, and what it left."""
    words = [f"budget.{name}={limit:.10g}" for name, limit in limits.items()]
    words += [] if weight is None else [f"budget.weight={weight:g}"]
    words += [f"seed={seed}", f"stages={STAGES[args.retrain]}", f"runs={args.runs}"]
    folder = nas.search(*args.settings, *words, quiet=True).folder
    record = read_json(folder / "derivation.json")
    test = folder / "evaluation.json"
    accuracy = read_json(test)["test"]["found"]["accuracy"] if test.is_file() else None
    relative = {
        kind: max(record[kind][name] / limit for name, limit in limits.items())
        for kind in ("plain", "costs")
    }
    return {"folder": folder, **relative, "accuracy": accuracy}


def row(
    level: float,
    limits: Mapping[str, float],
    weight: float | None,
    runs: Sequence[Mapping[str, Any]],
) -> str:
    """A row of the table: how many seeds keep to all limits, and how near they are."""
    text = ", ".join(f"{name} {limit:,.10g}" for name, limit in limits.items())
    plain, derived = [each["plain"] for each in runs], [each["costs"] for each in runs]
    by_itself = sum(value <= 1 for value in plain)
    accuracies = [100 * each["accuracy"] for each in runs if each["accuracy"] is not None]
    return (
        f"| {level:.0%}: {text} | {'adapts' if weight is None else f'{weight:g}'} "
        f"| {sum(value <= 1 for value in derived)} of {len(runs)} ({by_itself} by itself) "
        f"| {median(plain):.3f} ({min(plain):.3f} to {max(plain):.3f}) "
        f"| {median(derived):.3f} ({min(derived):.3f} to {max(derived):.3f}) "
        f"| {f'{fmean(accuracies):.2f}' if accuracies else '-'} |"
    )


def draw(folder: Path, out: Path | None) -> None:
    """The derived cost and the multiplier of every limit over the epochs, in one chart."""
    if out is None:
        return
    lines = {}
    for chart in charts_of(MetricsFile(folder / "metrics.jsonl").read()):
        for kind, name in (("derived", "cost / limit"), ("multiplier", "weight")):
            if kind in chart.title or (kind == "multiplier" and "weight of each" in chart.title):
                lines |= {f"{cost}, {name}": points for cost, points in chart.lines.items()}
    figure = line_figure(
        Chart("cost of the derived cell over its limit, and the limit's weight", lines)
    )
    write_atomic(out, svg_bytes(figure))


def arguments() -> argparse.Namespace:
    """The command line; what follows ``--`` are settings of nas search."""
    parser = argparse.ArgumentParser(description="Searches under budgets.")
    parser.add_argument("--costs", nargs="+", default=["macs", "params"])
    parser.add_argument("--levels", nargs="+", type=float, default=[0.05, 0.25, 0.75])
    parser.add_argument("--weights", nargs="*", type=float, default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(6)))
    parser.add_argument("--retrain", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/budgets"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("settings", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    main()
