"""Our zero-cost proxies beside the published ones, on the same cells of NAS-Bench-201.

Draws cells of which NAS-Bench-Suite-Zero (arXiv 2210.03230) published proxies on CIFAR-10, computes
ours on one batch of its training images, and prints the Spearman correlation of both with the
validation accuracy after 12 epochs. What is computed stays in the folder: the same command goes on.

    NAS_DATA_DIR=FOLDER python scripts/check_proxies.py --batch 32 --repeated
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to check

from nas.app.bench.probing import Probing, columns, read  # noqa: E402
from nas.app.bench.proxies import SCORES, compare  # noqa: E402
from nas.benchmarks import Query  # noqa: E402
from nas.benchmarks.correlation import spearman  # noqa: E402
from nas.benchmarks.readers.published import lines_of  # noqa: E402
from nas.benchmarks.registry import load  # noqa: E402
from nas.cli.bench_proxies import probing_of  # noqa: E402
from nas.proxies import DEFAULT, PROXIES, Probe  # noqa: E402
from nas.proxies.probe import gradients  # noqa: E402

FILE = "nb201_zero_cost_proxies.csv.gz"
NAMES = {"naswot": "nwot"}  # as the file calls them
CLOSE, NEEDED = 0.05, 7


def main() -> int:
    """Compute, compare and print; 0 where enough of the nine agree."""
    args = arguments()
    root = Path(os.environ.get("NAS_DATA_DIR", "data"))
    head, lines = lines_of(root, FILE)
    cells = [dict(zip(head, line.split(","), strict=True)) for line in lines]
    published = {int(cell["index"]): cell for cell in cells if cell["dataset"] == "cifar10"}
    drawn = np.random.default_rng(0).permutation(sorted(published))[: args.n]
    rows = [int(row) for row in drawn]
    table = load("nasbench201", root)
    query = Query("accuracy", "cifar10", "validation", 12)
    words = ("data=cifar10", f"preset={args.preset}")
    probing, identity = probing_of(table, query, words, tuple(PROXIES), args.batch, args.seed)
    told = compare(probing, rows, args.runs, identity)
    truth = probing.series.mean[rows]
    theirs = {
        row: {name: number(published[row][NAMES.get(name, name)]) for name in PROXIES}
        for row in rows
    }
    ours, their = {each["proxy"]: each for each in told["proxies"]}, columns(theirs, tuple(PROXIES))
    print("\n| proxy | ours | 95 % interval | published | difference | ours to published |")
    print("|---|---|---|---|---|---|")
    close = 0
    kept = read(Path(told["folder"]) / SCORES)
    own = columns({row: kept[row] for row in rows}, tuple(PROXIES))
    for name in PROXIES:
        mine, other = ours[name]["spearman"], spearman(their[name], truth)
        low, high = ours[name]["spearman_interval"]
        close += name in DEFAULT and abs(mine - other) <= CLOSE
        both = spearman(own[name], their[name])
        print(f"| {name} | {mine:.3f} | {low:.3f} to {high:.3f} | {other:.3f} ", end="")
        print(f"| {mine - other:+.3f} | {both:.3f} |")
    if args.repeated:
        values = [repeated_fisher(probing, row) for row in rows]
        mine, other = spearman(values, truth), spearman(their["fisher"], truth)
        print(f"| fisher, repeated | {mine:.3f} | | {other:.3f} ", end="")
        print(f"| {mine - other:+.3f} | {spearman(values, their['fisher']):.3f} |")
    print(f"\n{close} of {len(DEFAULT)} within {CLOSE} ({', '.join(DEFAULT)})")
    return 0 if close >= NEEDED else 1


def repeated_fisher(probing: Probing, row: int) -> float:
    """Fisher with the value of each channel counted once for each of its weights."""
    probe = Probe(probing.network(row), probing.batch, probing.loss)
    calls: list[tuple[int, torch.Tensor]] = []
    for layer in probe.layers:
        layer.register_forward_hook(
            lambda module, given, output: calls.append((module.weight[0].numel(), output))
        )
    loss = probing.loss(probe.net(probing.batch.inputs), probing.batch.targets)
    found = gradients(loss, [output for _, output in calls])
    total = 0.0
    for (weights, output), gradient in zip(calls, found, strict=True):
        product = (output.detach() * gradient).flatten(1)
        sums = product.view(len(output), output.shape[1], -1).sum(2)
        total += weights * float(sums.pow(2).mean(0).sum()) / 2
    return total


def number(text: str) -> float:
    """A published score; one that is missing lies below all others."""
    return float(text) if text not in ("", "nan") else -math.inf


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=150, help="cells")
    parser.add_argument("--batch", type=int, default=64, help="images in the batch")
    parser.add_argument("--seed", type=int, default=0, help="of the batch and the weights")
    parser.add_argument("--preset", default="paper", help="of widths and lengths")
    parser.add_argument("--repeated", action="store_true", help="fisher also as it was published")
    parser.add_argument("--runs", type=Path, default=Path("runs/bench"), help="where files go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
