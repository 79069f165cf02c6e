"""A training step of a super-bit network beside the network in fp32, and beside separate paths.

Super-bit layers share one copy of the weights between all numbers of bits; separate paths run one
convolution for each pair of them, as a mixture of whole layers would. All are timed in turns; bytes
are those of distinct tensors that autograd keeps for the backward pass.

    python scripts/benchmark_compression.py --batch 64 --threads 1
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

from nas.arch import Weights  # noqa: E402
from nas.compression import Compression  # noqa: E402
from nas.compression.grid import MIDTREAD  # noqa: E402
from nas.compression.quantizer import Quantizer  # noqa: E402
from nas.dataspec import DataSpec  # noqa: E402
from nas.engine.execution import kernels_of  # noqa: E402
from nas.searchable import set_execution  # noqa: E402
from nas.supernet import Supernet  # noqa: E402
from search_spaces.backbones import backbone  # noqa: E402

BITS = (2, 4, 8)
Step = Callable[[], Tensor]


class Separate(nn.Module):
    """``sum_ij p_i q_j conv(Q_j(x), Q_i(W_ij))``: a layer of its own for every pair of bits."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weights = [conv.weight.detach().clone() for _ in BITS for _ in BITS]
        self.weights = nn.ParameterList(nn.Parameter(weight) for weight in weights)
        self.conv = conv
        self.inputs = nn.ModuleList(Quantizer(bits) for bits in BITS)
        self.grids = nn.ModuleList(Quantizer(bits, MIDTREAD) for bits in BITS)
        self.mix = nn.Parameter(torch.zeros(len(BITS) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W')."""
        shares = self.mix.softmax(0)
        quantized = [quantizer(x) for quantizer in self.inputs]
        total: Any = 0.0
        for place, weight in enumerate(self.weights):
            i, j = divmod(place, len(BITS))
            grid = self.grids[i](weight)
            total = total + shares[place] * self.conv._conv_forward(quantized[j], grid, None)
        return total


def main() -> None:
    """Build, time in turns, print."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    data = DataSpec((3, 32, 32), "classes", 10)
    x = torch.randn(args.batch, *data.input_shape)
    steps = {
        "fp32": plain(data, args.channels, x),
        "super-bit, native": superbit(data, args.channels, x, "native"),
        "super-bit, PyTorch": superbit(data, args.channels, x, "plain"),
        "separate paths": separate(data, args.channels, x),
    }
    kept = {name: saved_bytes(step) for name, step in steps.items()}
    times = timed(steps, args.rounds)
    print(f"ResNet-20, {args.channels} channels, batch {args.batch}, {args.threads} thread(s)")
    print("| step | ms, median (least to most) | relative | kept for backward, MB | relative |")
    print("|---|---|---|---|---|")
    for name, found in times.items():
        ratio = median(a / b for a, b in zip(found, times["fp32"], strict=True))
        spread = f"{1e3 * median(found):.0f} ({1e3 * min(found):.0f} to {1e3 * max(found):.0f})"
        share = kept[name] / kept["fp32"]
        print(f"| {name} | {spread} | {ratio:.2f} | {kept[name] / 1e6:.1f} | {share:.2f} |")


def plain(data: DataSpec, channels: int, x: Tensor) -> Step:
    """The network as it is."""
    net = backbone("resnet20", data, channels=channels).train()
    return lambda: net(x).square().mean()


def superbit(data: DataSpec, channels: int, x: Tensor, execution: str) -> Step:
    """Bits of weights and inputs open, softmax weights."""
    net = Compression(BITS, BITS).apply(backbone("resnet20", data, channels=channels))
    set_execution(net, kernels_of(execution))
    supernet = Supernet(net).train()
    rows = {n: torch.zeros(1, len(d), requires_grad=True) for n, d in supernet.decisions.items()}

    def step() -> Tensor:
        arch = {n: Weights(row.softmax(-1), tuple(range(len(BITS)))) for n, row in rows.items()}
        output: Tensor = supernet(x, arch)
        return output.square().mean()

    return step


def separate(data: DataSpec, channels: int, x: Tensor) -> Step:
    """Every convolution but the first as nine of its own."""
    net = backbone("resnet20", data, channels=channels)
    convs = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d)][1:]
    for name in convs:
        conv = net.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        net.set_submodule(name, Separate(conv))
    set_execution(net, kernels_of("native"))
    net.train()
    return lambda: net(x).square().mean()


def saved_bytes(step: Step) -> int:
    """Bytes of the distinct storages that autograd keeps between forward and backward."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step()
    del loss
    return sum(found.values())


def timed(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of forward and backward of each step in every round, in an order drawn anew."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    order, generator = list(steps), random.Random(0)
    for turn in range(rounds + 1):
        generator.shuffle(order)
        for name in order:
            began = time.perf_counter()
            torch.autograd.backward(steps[name]())
            if turn:  # the first warms up
                found[name].append(time.perf_counter() - began)
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Steps of super-bit networks.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
