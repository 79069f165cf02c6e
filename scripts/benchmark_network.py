"""Times a derived network beside the same network written by hand, in turn in one process.

    python scripts/benchmark_network.py            # PC_DARTS_cifar, batch 32, 1 and 2 threads
    python scripts/benchmark_network.py --size 8 --cells 3 --batch 64    # as on digits

A training step is forward, backward, clipping and SGD; an evaluation is a forward under
`inference_mode`. The network written by hand is `Sequential` modules and nothing else; both have
equal weights, which is checked by their outputs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.kernels import native_kernels, portable_kernels
from nas.searchable import set_execution
from search_spaces.darts import DartsSpace
from search_spaces.darts.cells import Plan

CLASSES = 10


def norm_of(channels: int) -> nn.Module:
    """Batch normalization as in the papers."""
    return nn.BatchNorm2d(channels)


def relu_conv(c_in: int, c_out: int) -> nn.Module:
    """ReLU, 1x1 convolution, normalization."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), norm_of(c_out))


def separable(c: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """One round of ReLU, depthwise and pointwise convolution, normalization."""
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(c, c, kernel, stride, padding, dilation, groups=c, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False), norm_of(c)]


class Reduce(nn.Module):
    """Two convolutions of stride 2, the second shifted by one pixel."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.conv2 = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.norm = norm_of(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H / 2, W / 2)."""
        x = x.relu()
        y: Tensor = self.norm(torch.cat([self.conv1(x), self.conv2(x[..., 1:, 1:])], 1))
        return y


def operation(name: str, c: int, stride: int) -> nn.Module:
    """One operation of the DARTS space."""
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Reduce(c, c)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    kernel = int(name[-1])
    if name.startswith("dil"):
        return nn.Sequential(*separable(c, kernel, stride, 2))
    return nn.Sequential(*separable(c, kernel, stride), *separable(c, kernel, 1))


class Cell(nn.Module):
    """A derived cell."""

    def __init__(self, plan: Plan, before: int, last: int, c: int, reduces: bool, after: bool):
        super().__init__()
        self.plan = plan
        self.first = Reduce(before, c) if after else relu_conv(before, c)
        self.second = relu_conv(last, c)
        self.edges = nn.ModuleList(
            operation(edge.operation, c, 2 if reduces and edge.input < 2 else 1)
            for node in plan.nodes
            for edge in node
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """The concatenated nodes (N, len(concat) * c, ...)."""
        states, edges = [self.first(before), self.second(last)], iter(self.edges)
        for node in self.plan.nodes:
            states.append(sum(next(edges)(states[edge.input]) for edge in node))
        return torch.cat([states[i] for i in self.plan.concat], 1)


class HandWritten(nn.Module):
    """Stem, cells, classifier."""

    def __init__(self, normal: Plan, reduce: Plan, channels: int, cells: int) -> None:
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), norm_of(width))
        self.cells = nn.ModuleList()
        before = last = width
        after = False
        for index in range(cells):
            reduces = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduces else 1
            plan = reduce if reduces else normal
            self.cells.append(Cell(plan, before, last, channels, reduces, after))
            before, last, after = last, channels * len(plan.concat), reduces
        self.classifier = nn.Linear(last, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        y: Tensor = self.classifier(last.mean((2, 3)))
        return y


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--genotype", default="PC_DARTS_cifar")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--size", type=int, default=32, help="of the square inputs")
    options = parser.parse_args()
    networks = build(options)
    check(networks, options)
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"\nbatch {options.batch}, {threads} thread(s); seconds min/median/max")
        for what in ("training", "evaluation"):
            found = in_turn(networks, what, options)
            for name, seconds in found.items():
                ratios = [a / b for a, b in zip(seconds, found["by hand"], strict=True)]
                print(
                    f"  {what:11s}{name:9s}{spread(seconds, '.4f')}   "
                    f"it / by hand = {spread(ratios, '.2f')}"
                )


def build(options: argparse.Namespace) -> dict[str, nn.Module]:
    """The same network by hand, and derived with every execution that there is."""
    data = DataSpec((3, options.size, options.size), "classes", CLASSES)
    sizes = {"network_channels": options.channels, "network_cells": options.cells}
    space = DartsSpace(data, **sizes, auxiliary=False)
    cells = space.named()[options.genotype]
    hand = HandWritten(cells.normal, cells.reduce, options.channels, options.cells)
    networks: dict[str, nn.Module] = {"by hand": hand}
    kernels = {"plain": None, "fused": portable_kernels(), "native": native_kernels()}
    for name, chosen in kernels.items():
        if name == "native" and chosen is None:
            continue
        network = space.build(cells)
        values = hand.state_dict().values()
        network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
        set_execution(network, chosen)
        networks[name] = network
    return networks


def check(networks: dict[str, nn.Module], options: argparse.Namespace) -> None:
    """Stop unless all of them compute the same."""
    x = torch.randn(4, 3, options.size, options.size)
    with torch.no_grad():
        outputs = {name: network.eval()(x) for name, network in networks.items()}
    for name, output in outputs.items():
        if not torch.allclose(output, outputs["by hand"], rtol=1e-3, atol=1e-4):
            raise SystemExit(f"{name} is another network than the one by hand")


def in_turn(
    networks: dict[str, nn.Module], what: str, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each network, all on the same batches, one after the other."""
    runs = {
        name: training(network) if what == "training" else evaluation(network)
        for name, network in networks.items()
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        x = torch.randn(options.batch, 3, options.size, options.size)
        y = torch.randint(CLASSES, (options.batch,))
        for name, run in runs.items():
            start = time.perf_counter()
            run(x, y)
            if number:  # the first round warms up
                found[name].append(time.perf_counter() - start)
    return found


def training(network: nn.Module) -> Callable[[Tensor, Tensor], object]:
    """A step of SGD."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(x), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    return step


def evaluation(network: nn.Module) -> Callable[[Tensor, Tensor], object]:
    """A forward that keeps nothing."""
    network.eval()

    def forward(x: Tensor, y: Tensor) -> object:
        with torch.inference_mode():
            return network(x)

    return forward


def spread(values: Sequence[float], form: str) -> str:
    """Least, median and greatest value."""
    return "/".join(format(f(values), form) for f in (min, median, max))


if __name__ == "__main__":
    main()
