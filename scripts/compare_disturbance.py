"""Does DI-NAS disturb earlier architectures less than plain single paths, and at what price?

For every seed three supernets are trained on the same batches along the same paths: by SPOS, by
DI-NAS, and by SPOS at the learning rate times the mean share of a step that DI-NAS kept, since
whoever moves less disturbs less. Told per arm:

- disturbance: mean over the steps measured of what a step adds to the losses of the 8 architectures
  trained before it, on held-back data (`nas.gradients.Disturbance`); and of its rises alone;
- probe tau: Kendall's tau-b between the losses of random architectures before and after an epoch,
  mean over the second half of the epochs;
- their mean loss and accuracy at the end, with the weights of the supernet;
- kept: length of the steps over their length without projection.

Then mean differences to plain over the seeds, with 95 % intervals and signed-rank tests.

    python scripts/compare_disturbance.py --seeds 0 1 2 3 4 5 -- space=nasbench201 data=digits
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

from nas.analysis.statistics import signed_rank, t_interval  # noqa: E402
from nas.benchmarks.correlation import kendall  # noqa: E402
from nas.build import Parts, data_source  # noqa: E402
from nas.cli.compose import composed  # noqa: E402
from nas.cli.positional import parse  # noqa: E402
from nas.cli.verbs import VERBS  # noqa: E402
from nas.data import ArrayData, Batches  # noqa: E402
from nas.engine.device import set_threads  # noqa: E402
from nas.engine.path_score import PathScore  # noqa: E402
from nas.engine.rng import seed_everything  # noqa: E402
from nas.space import sample  # noqa: E402

ADD = "+strategy/add=[disturbance]"
ARMS = {
    "plain": ("strategy=spos", ADD),
    "dinas": ("strategy=dinas",),
    "slow": ("strategy=spos", ADD),
}
FIGURES = ("disturbance", "rises", "probe tau", "loss", "accuracy", "kept")


def main() -> None:
    """Train, print a row per arm and seed, then the means and the differences."""
    args = arguments()
    torch.set_num_threads(1)
    found: dict[str, list[Mapping[str, float]]] = {arm: [] for arm in args.arms}
    print(f"{'arm':6s} seed  " + "  ".join(f"{name:>11s}" for name in FIGURES), flush=True)
    for seed in args.seeds:
        kept = 1.0
        for arm in args.arms:
            extra = args.dinas if arm == "dinas" else []
            figures = run(
                [*ARMS[arm], *args.settings, *extra], seed, kept if arm == "slow" else 1.0, args
            )
            kept = figures["kept"] if arm == "dinas" else kept
            found[arm].append(figures)
            print(f"{arm:6s} {seed:4d}  {told(figures)}", flush=True)
    print()
    for arm, rows in found.items():
        print(
            f"{arm:6s} mean  {told({name: fmean(row[name] for row in rows) for name in FIGURES})}"
        )
    if len(args.seeds) > 1 and "plain" in found:
        for arm in [each for each in args.arms if each != "plain"]:
            print(f"{arm} - plain: {differences(found[arm], found['plain'])}")


def run(words: Sequence[str], seed: int, rate: float, args: argparse.Namespace) -> dict[str, float]:
    """One supernet's figures."""
    line = [*words, f"seed={seed}", f"strategy.transforms.disturbance.every={args.every}"]
    cfg = composed(parse(VERBS["search"], line), line)
    cfg.optim.weights.lr *= rate
    data = data_source(cfg).load().without("test")
    set_threads(cfg.threads, data.spec.size)
    parts = Parts(cfg, data)
    (phase,) = parts.update.phases(int(cfg.trainer.epochs))
    streams = parts.streams()
    score, probes = scorer(parts, data, args.held_out), drawn(parts, args.probes)
    steps: dict[str, list[float]] = {"disturbance": [], "dinas/kept": []}
    losses, accuracies = [], []
    seed_everything(seed, "search")
    for epoch in range(phase.epochs):
        for schedule in parts.schedules:
            schedule.on_epoch(epoch)
        for step in range(len(streams["weights"])):
            place = epoch * len(streams["weights"]) + step
            told = phase.step(*(at(streams[name], place) for name in phase.streams))
            for name, values in steps.items():
                values += [float(told[name])] if name in told else []
        found = [score(choices) for choices in probes]
        losses.append([each["loss"] for each in found])
        accuracies.append([each[parts.task.primary] for each in found])
    taus = [kendall(one, other) for one, other in pairwise(losses)]
    late = [tau for tau in taus[len(taus) // 2 :] if math.isfinite(tau)]
    return {
        "disturbance": fmean(steps["disturbance"]),
        "rises": fmean(max(0.0, value) for value in steps["disturbance"]),
        "probe tau": fmean(late),
        "loss": fmean(losses[-1]),
        "accuracy": fmean(accuracies[-1]),
        "kept": fmean(steps["dinas/kept"] or [rate]),
    }


def at(stream: Batches, place: int) -> object:
    """A batch of a stream that goes round."""
    return stream.batch(place // len(stream), place % len(stream))


def scorer(parts: Parts, data: ArrayData, count: int) -> PathScore:
    """Scores a path on held-back samples, normalized by themselves."""
    indices = data.indices("architecture")
    size = min(count, len(indices))
    stream = Batches(parts.samples, indices, batch_size=size, seed=0, name="probes")
    return PathScore(parts.supernet, parts.task, [stream.batch(0, 0)])


def drawn(parts: Parts, count: int) -> list[Mapping[str, object]]:
    """The same random architectures for every seed."""
    generator = torch.Generator().manual_seed(0)
    return [sample(parts.space, generator) for _ in range(count)]


def told(figures: Mapping[str, float]) -> str:
    """One row."""
    return "  ".join(f"{figures[name]:11.4f}" for name in FIGURES)


def differences(arm: Sequence[Mapping[str, float]], plain: Sequence[Mapping[str, float]]) -> str:
    """Mean paired differences with half the width of their 95 % intervals."""
    parts = []
    for name in FIGURES[:-1]:
        values = [one[name] - other[name] for one, other in zip(arm, plain, strict=True)]
        low, high = t_interval(values) or (math.nan, math.nan)
        p = f"p {signed_rank(values):.3g}"
        parts.append(f"{name} {fmean(values):+.4f} ({low:+.4f} to {high:+.4f}, {p})")
    return ", ".join(parts)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--every", type=int, default=5, help="steps between two measurements")
    parser.add_argument("--probes", type=int, default=20, help="random architectures")
    parser.add_argument("--held-out", type=int, default=256, help="samples that score them")
    parser.add_argument("--dinas", nargs="*", default=[], help="settings of the arm dinas alone")
    parser.add_argument("settings", nargs="*", default=[], help="settings of all arms")
    return parser.parse_args()


if __name__ == "__main__":
    main()
