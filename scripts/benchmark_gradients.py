"""Times a step of single paths with and without DI-NAS on the DARTS space, taken in turn.

    python scripts/benchmark_gradients.py                     # batch 64, C=16, 8 cells, one thread
    python scripts/benchmark_gradients.py --batch 16 96 --execution plain --rounds 5

All variants train equal supernets along the same paths on the same random batch of 3x32x32 and take
turns, so that what else the machine does hits them alike; a second copy without projection shows
what is noise. Told are processor seconds per step (median over the rounds), ratios to the step
without projection (median of the ratios of each round), and the memory of the projectors.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

from nas.batch import Batch  # noqa: E402
from nas.dataspec import DataSpec  # noqa: E402
from nas.engine.execution import kernels_of, resolve_execution  # noqa: E402
from nas.gradients import Orthogonal, Transformed  # noqa: E402
from nas.objectives import Objective  # noqa: E402
from nas.policies import Uniform  # noqa: E402
from nas.searchable import set_execution  # noqa: E402
from nas.space import decisions_of  # noqa: E402
from nas.strategies import SinglePath  # noqa: E402
from nas.supernet import Supernet  # noqa: E402
from nas.tasks import Classification  # noqa: E402
from search_spaces.darts import DartsSpace  # noqa: E402

CLASSES = 10
Step = Callable[[Batch], object]


def main() -> None:
    """Print a row per batch size and rank."""
    args = arguments()
    torch.set_num_threads(args.threads)
    execution = resolve_execution(args.execution, torch.device("cpu"), "fp32")
    print(f"execution {execution}, C={args.channels}, {args.cells} cells, {args.threads} threads")
    print("batch  rank  plain s  again  projected  projectors", flush=True)
    for batch in args.batch:
        for rank in args.rank:
            print(row(args, execution, batch, rank), flush=True)


def row(args: argparse.Namespace, execution: str, size: int, rank: int) -> str:
    """One row of the table."""
    projected, memory = built(args, execution, rank)
    plain, again = (built(args, execution, 0)[0] for _ in range(2))
    steps: list[Step] = [plain, again, projected]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(size, 3, 32, 32, generator=generator)
    batch = Batch(inputs, torch.randint(CLASSES, (size,), generator=generator))
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(args.rounds + 1):  # the first one warms up
        for place, step in enumerate(steps):
            taken = sum(timed(step, batch) for _ in range(args.paths)) / args.paths
            if turn:
                seconds[place].append(taken)
    ratios = [
        median(one / base for one, base in zip(each, seconds[0], strict=True)) for each in seconds
    ]
    text = f"{size:5d}  {rank:4d}  {median(seconds[0]):7.3f}  {ratios[1]:5.3f}  {ratios[2]:9.3f}"
    return f"{text}  {memory:6.1f} MiB"


def timed(step: Step, batch: Batch) -> float:
    """Processor seconds of a step."""
    start = time.process_time()
    step(batch)
    return time.process_time() - start


def built(args: argparse.Namespace, execution: str, rank: int) -> tuple[Step, float]:
    """A step, projected unless the rank is 0, and MiB of its projectors."""
    torch.manual_seed(0)
    data = DataSpec((3, 32, 32), "classes", CLASSES)
    space = DartsSpace(data, channels=args.channels, cells=args.cells)
    net = space.supernet()
    set_execution(net, kernels_of(execution))
    supernet = Supernet(net)
    policy = Uniform(supernet.decisions, kept=decisions_of(space))
    weights = list(supernet.parameters())
    optimizer = torch.optim.SGD(weights, 0.025, momentum=0.9, weight_decay=3e-4)
    update = SinglePath(supernet, policy, Objective(Classification()), optimizer)
    if not rank:
        return update.weights_step, 0.0
    transform = Orthogonal(supernet, optimizer, 50, rank=rank)
    return Transformed(update, {"dinas": transform}).phases(1)[0].step, transform.memory / 2**20


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[64])
    parser.add_argument("--rank", type=int, nargs="+", default=[8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paths", type=int, default=3, help="steps, each another path, per round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--execution", default="auto", help="auto, native, fused or plain")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
