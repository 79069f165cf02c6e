"""Sizes and times of networks in integers beside the same ones in fp32, and their predictions.

    python scripts/benchmark_integers.py            # sizes and times, 32x32 inputs, one thread
    python scripts/benchmark_integers.py --digits   # predictions of networks trained on the digits

Networks have one number of bits in every layer but the first and the last one, which have 8 (and 8,
or as many as the others). Times are processor time of ONNX Runtime, medians, batch 1, in turns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from nas import console
from nas.compression import Compression
from nas.dataspec import DataSpec
from nas.export.base import frozen_copy
from nas.export.integers import OnnxFile
from search_spaces.backbones import backbone

BITS = ((8, 8), (8, 7), (4, 4), (2, 2))
SIZE, CLASSES = 32, 10


def chain(channels: int) -> nn.Module:
    """Four 3x3 convolutions with batch normalization and ReLU, the mean, a linear layer."""
    parts: list[nn.Module] = []
    for place in range(4):
        c_in = channels if place else 3
        parts += [nn.Conv2d(c_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        parts += [nn.ReLU()]
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


def network(name: str, channels: int, shape: tuple[int, ...]) -> nn.Module:
    """A network of this name and width, freshly initialized."""
    if name == "chain":
        return chain(channels)
    return backbone(name, DataSpec(shape, "classes", CLASSES), channels=channels)


def compressed(net: nn.Module, bits: tuple[int, int]) -> nn.Module:
    """The network with quantized layers, in training mode."""
    weights, inputs = bits
    return Compression((weights,), (inputs,), ends=7 if inputs == 7 else 8).apply(net).train()


def sizes_and_times() -> list[list[str]]:
    """A row for each network and number of bits; weights are random."""
    shape = (3, SIZE, SIZE)
    rows = []
    for name, channels in (("chain", 128), ("vgg16", 32), ("resnet20", 16), ("resnet20", 64)):
        for bits in BITS:
            torch.manual_seed(0)
            net = compressed(network(name, channels, shape), bits)
            for _ in range(2):  # clipping values and statistics
                net(torch.randn(8, *shape))
            facts = written(frozen_copy(net), shape)[1]
            rows.append(
                [
                    f"{name}, {channels} channels",
                    "/".join(map(str, bits)),
                    f"{facts['bytes'] / 1e3:,.0f}",
                    f"{facts['fp32_bytes'] / 1e3:,.0f}",
                    f"{facts['computed']} of {facts['layers']}",
                    f"{facts['ms']:.2f}",
                    f"{facts['fp32_ms']:.2f}",
                    f"{facts['fp32_ms'] / facts['ms']:.2f}",
                    f"{100 * facts['codes_off']:.2f}",
                ]
            )
    return rows


def written(
    net: nn.Module, shape: tuple[int, ...], rounds: int = 15
) -> tuple[Callable[[Tensor], Tensor], dict[str, float]]:
    """The network as its file runs, and what was measured of the file."""
    export, example = OnnxFile(rounds=rounds), torch.zeros(2, *shape)
    with tempfile.TemporaryDirectory() as folder:
        path = export(net, "{}", example, Path(folder))
        facts = dict(export.measure(path, net, example, 0), bytes=path.stat().st_size)
        run = export.reload(path, net)
    return lambda inputs: run(inputs)[0], facts  # type: ignore[index]


def predictions(seeds: int, epochs: int) -> list[list[str]]:
    """A row for each network, number of bits and seed: test accuracy, and what differs in ONNX."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
    labels, shape = torch.tensor(digits.target), (1, 8, 8)
    rows = []
    for name in ("vgg16", "resnet20"):
        for bits in BITS:
            for seed in range(seeds):
                torch.manual_seed(seed)
                order = torch.randperm(len(images))
                fit, test = order[:1257], order[1257:]
                net = compressed(network(name, 8, shape), bits)
                trained(net, images[fit], labels[fit], epochs)
                net = frozen_copy(net)
                run, facts = written(net, shape, rounds=0)
                expected, found = net(images[test]), run(images[test])
                right = [
                    float((y.argmax(1) == labels[test]).float().mean()) for y in (expected, found)
                ]
                same = int((expected.argmax(1) != found.argmax(1)).sum())
                off = float((expected - found).abs().max())
                rows.append(
                    [
                        *(name, "/".join(map(str, bits)), str(seed)),
                        *(f"{100 * share:.1f}" for share in right),
                        *(f"{same} of {len(test)}", f"{off:.2g}", f"{facts['outputs_off']:.0e}"),
                    ]
                )
    return rows


def trained(net: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """SGD on batches of 64, the rate falling to zero."""
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images))[: steps // epochs * 64].split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
            rate.step()


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.digits:
        heads = (
            "network",
            "bits",
            "seed",
            "torch, %",
            "ONNX, %",
            "other class",
            "largest",
            "layer",
        )
        console.table(predictions(given.seeds, given.epochs), heads)
    else:
        heads = (
            "network",
            "bits",
            "kB",
            "fp32, kB",
            "in integers",
            "ms",
            "fp32, ms",
            "times",
            "off",
        )
        console.table(sizes_and_times(), heads)


if __name__ == "__main__":
    main()
