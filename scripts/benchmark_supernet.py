"""Times a search step of PC-DARTS: plain, fused and native, taken in turn in one process.

    python scripts/benchmark_supernet.py                    # batch 16 and 64, 1 and 2 threads
    python scripts/benchmark_supernet.py --batch 16 --threads 1 --rounds 5
    python scripts/benchmark_supernet.py --only memory      # peak memory, one process for each
    python scripts/benchmark_supernet.py --only profile --batch 64 --threads 1
    python scripts/benchmark_supernet.py --only time --batch 2 --size 8    # hardly more than calls

A step is two-level: an architecture step on one batch, then a weight step on another; C=16, 8
cells, K=4, random inputs of 3x32x32, no loader. All variants take the same batches in turn, so that
what else the machine does hits them alike, and a second copy of `plain` shows what is noise.
`published` is `plain` with the gradients that the released code computes: all of them, in both
passes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.batch import Batch
from nas.dataspec import DataSpec
from nas.kernels import native_kernels, portable_kernels
from nas.objectives import Objective
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.searchable import MixedOp, apply_partial_channels, set_execution
from nas.strategies.bilevel import Bilevel
from nas.supernet import Supernet
from nas.tasks import Classification
from search_spaces.darts import DartsSpace

VARIANTS = ("plain", "again", "published", "fused", "native")
MEMORY = ("normal", "low", "lowest")
CLASSES = 10
Step = Callable[[Batch, Batch], object]


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--only", choices=("time", "memory", "profile"))
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--size", type=int, default=32, help="of the square inputs")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--partial", type=int, default=4, help="K; 1 is DARTS")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # variant and memory
    options = parser.parse_args()
    if options.peak:
        peak(options)
        return
    if options.only == "profile":
        profiles(options)
        return
    if options.only != "memory":
        for batch in options.batch:
            for threads in options.threads:
                times(options, batch, threads)
    if options.only != "time":
        memory(options)


def build(options: argparse.Namespace, variant: str, memory: str = "normal") -> Bilevel:
    """The update rule over a fresh supernet; equal weights for every variant."""
    torch.manual_seed(0)
    data = DataSpec((3, options.size, options.size), "classes", CLASSES)
    net = DartsSpace(data, channels=options.channels, cells=options.cells).supernet()
    if options.partial > 1:
        apply_partial_channels(net, options.partial)
    kernels = {"fused": portable_kernels, "native": native_kernels}.get(variant, lambda: None)()
    if variant == "native" and kernels is None:
        raise SystemExit("native kernels cannot be built here; leave them out by --variants")
    set_execution(net, kernels, memory)
    supernet = Supernet(net)
    edge_weights = options.partial > 1
    decisions = {
        name: decision
        for name, decision in supernet.decisions.items()
        if edge_weights or name not in supernet.optional
    }
    policy = FreeLogits(decisions, Softmax())
    weights = torch.optim.SGD(supernet.parameters(), 0.1, momentum=0.9, weight_decay=3e-4)
    architecture = torch.optim.Adam(policy.parameters(), 6e-4, betas=(0.5, 0.999))
    return Bilevel(supernet, policy, Objective(Classification()), weights, architecture)


def step_of(variant: str, update: Bilevel) -> Step:
    """The full step of a variant."""
    return update.step if variant != "published" else lambda a, b: published(update, a, b)


def published(update: Bilevel, train: Batch, held_out: Batch) -> None:
    """The step in the released code's order, with every gradient in both passes."""
    for batch, optimizer in (
        (held_out, update.architecture_optimizer),
        (train, update.weights_optimizer),
    ):
        loss = nn.functional.cross_entropy(
            update.supernet(batch.inputs, update.policy().arch), batch.targets
        )
        update.weights_optimizer.zero_grad()
        update.architecture_optimizer.zero_grad()
        torch.autograd.backward(loss)
        if optimizer is update.weights_optimizer:
            nn.utils.clip_grad_norm_(update.supernet.parameters(), 5.0)
        optimizer.step()


def forward_of(update: Bilevel) -> Step:
    """A forward in training mode that keeps nothing for a backward."""

    def forward(train: Batch, held_out: Batch) -> object:
        with torch.no_grad():
            return update.supernet(train.inputs, update.policy().arch)

    return forward


def drawn(batch: int, size: int) -> Batch:
    """Random inputs and targets."""
    return Batch(torch.randn(batch, 3, size, size), torch.randint(CLASSES, (batch,)))


def times(options: argparse.Namespace, batch: int, threads: int) -> None:
    """Print seconds and ratios of a step and of a forward."""
    torch.set_num_threads(threads)
    updates = {variant: build(options, variant) for variant in options.variants}
    print(f"\nbatch {batch}, {threads} thread(s), {options.rounds} rounds; seconds min/median/max")
    for what in ("step", "forward"):
        runs = {
            name: step_of(name, update) if what == "step" else forward_of(update)
            for name, update in updates.items()
        }
        found = in_turn(runs, batch, options)
        base = found[options.variants[0]]
        for name, seconds in found.items():
            ratios = [a / b for a, b in zip(base, seconds, strict=True)]
            print(
                f"  {what:8s}{name:10s}{spread(seconds, '.3f')}   "
                f"{options.variants[0]} / it = {spread(ratios, '.2f')}"
            )
    bounds(updates[options.variants[0]], batch, options.size)


def in_turn(
    runs: dict[str, Step], batch: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each run, all of them on the same batches, one after the other."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        train, held_out = drawn(batch, options.size), drawn(batch, options.size)
        for name, run in runs.items():
            start = time.perf_counter()
            run(train, held_out)
            if number:  # the first round warms up
                found[name].append(time.perf_counter() - start)
    return found


def spread(values: Sequence[float], form: str) -> str:
    """Least, median and greatest value."""
    return "/".join(format(f(values), form) for f in (min, median, max))


def bounds(update: Bilevel, batch: int, size: int) -> None:
    """Print what arithmetic alone and memory traffic alone would take on this machine."""
    image = drawn(1, size)
    bytes_out: list[int] = []
    hooks = [
        module.register_forward_hook(lambda m, i, out: bytes_out.append(out.numel() * 4))
        for module in update.supernet.modules()
        if isinstance(module, MixedOp)
    ]
    update.supernet.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        update.supernet(image.inputs, update.policy().arch)
    update.supernet.train()
    for hook in hooks:
        hook.remove()
    flops = counter.get_total_flops()
    # Two forwards, gradients of the inputs in both passes, of the weights in one: 5 forwards. A
    # fused edge reads and writes its output's size 6 times each in a pass: the batch statistics of
    # its separable convolutions force that.
    work, traffic = 5 * flops * batch, 2 * 12 * sum(bytes_out) * batch
    print(
        f"  bounds: {work / 1e9:.1f} GFLOP at {peak_flops() / 1e9:.0f} GFLOP/s = "
        f"{work / peak_flops():.3f} s; {traffic / 1e9:.1f} GB at {bandwidth() / 1e9:.0f} GB/s = "
        f"{traffic / bandwidth():.3f} s"
    )


def profiles(options: argparse.Namespace) -> None:
    """Print which operations a step of each variant spends its time in."""
    torch.set_num_threads(options.threads[0])
    for variant in options.variants:
        update = build(options, variant)
        batches = drawn(options.batch[0], options.size), drawn(options.batch[0], options.size)
        step_of(variant, update)(*batches)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            step_of(variant, update)(*batches)
        print(f"\n{variant}, batch {options.batch[0]}, {options.threads[0]} thread(s)")
        table = found.key_averages().table(sort_by="self_cpu_time_total", row_limit=16)
        print(table)


def peak_flops() -> float:
    """Floating point operations per second of a large matrix product."""
    a = torch.randn(1536, 1536)
    return 2 * 1536**3 / min(seconds_of(lambda: a @ a) for _ in range(5))


def bandwidth() -> float:
    """Bytes per second read and written by adding two large tensors."""
    a, b = torch.randn(2, 2**24).unbind(0)
    out = torch.empty_like(a)
    return 3 * 4 * 2**24 / min(seconds_of(lambda: torch.add(a, b, out=out)) for _ in range(5))


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def memory(options: argparse.Namespace) -> None:
    """Print the peak memory of a step, each variant in a process of its own."""
    variants = [v for v in options.variants if v not in ("again", "published")]
    for batch in options.batch:
        print(
            f"\nbatch {batch}: peak memory of a step above that of the imports, seconds of a step"
        )
        base = None
        for variant in variants:
            for mode in MEMORY:
                command = [sys.executable, str(Path(__file__)), "--peak", variant, mode]
                command += ["--batch", str(batch), "--threads", str(max(options.threads))]
                command += ["--channels", str(options.channels), "--cells", str(options.cells)]
                command += ["--partial", str(options.partial), "--size", str(options.size)]
                text = subprocess.run(
                    command, capture_output=True, text=True, check=True, env=dict(os.environ)
                )
                size, seconds = map(float, text.stdout.split()[-2:])
                base = base or (size, seconds)
                print(
                    f"  {variant:10s}{mode:8s}{size / 2**20:8.0f} MiB = {size / base[0]:.2f}x   "
                    f"{seconds:.3f} s = {seconds / base[1]:.2f}x"
                )


def peak(options: argparse.Namespace) -> None:
    """Print bytes and seconds of one variant's step, for ``memory``."""
    torch.set_num_threads(options.threads[0])
    variant, mode = options.peak
    update = build(options, variant, mode)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch, size = options.batch[0], options.size
    batches = [(drawn(batch, size), drawn(batch, size)) for _ in range(4)]
    seconds = [seconds_of(lambda pair=pair: update.step(*pair)) for pair in batches]  # type: ignore[misc]
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(used * 1024, min(seconds))


if __name__ == "__main__":
    main()
