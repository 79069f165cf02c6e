"""Small quantized networks whose batch norms and clipping values come from data."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.compression import Compression
from nas.export.base import frozen_copy
from nas.export.integers import OnnxFile
from nas.export.integers.runtime import optimized

SHAPE = (3, 8, 8)


class Small(nn.Module):
    """A chain that fuses, a residual sum that does not, pooling, depthwise, two linear layers."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = self.block(3, width)
        self.pool = nn.MaxPool2d(2)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.last = self.block(width, 2 * width)
        self.hidden = nn.Sequential(nn.Linear(2 * width, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 5)

    @staticmethod
    def block(c_in: int, c_out: int) -> nn.Sequential:
        conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        x = self.last(torch.relu(x + self.body(x)))
        out: Tensor = self.head(self.hidden(x.mean((2, 3))))
        return out


def quantized(
    net: nn.Module,
    shape: tuple[int, ...],
    weights: int | None = 8,
    inputs: int | None = 8,
    **more: Any,
) -> nn.Module:
    """The network, quantized, after three batches of training mode; its two ends have 8 bits."""
    bits = [None if each is None else (each,) for each in (weights, inputs)]
    net = Compression(*bits, **more).apply(net).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight)  # of both signs
            nn.init.normal_(module.bias)
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(16, *shape))
    return frozen_copy(net)


def small(weights: int | None = 8, inputs: int | None = 8, **more: Any) -> nn.Module:
    """A small quantized network of given bits."""
    torch.manual_seed(3)
    return quantized(Small(), SHAPE, weights, inputs, **more)


def chain(width: int = 16, convolutions: int = 3) -> nn.Module:
    """Convolutions in a row, one of them over pooled outputs, and a linear layer."""
    parts: list[nn.Module] = []
    for place in range(convolutions):
        c_in = width if place else 3
        parts += [nn.Conv2d(c_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        parts += [nn.ReLU(), nn.MaxPool2d(2) if place == 0 else nn.Identity()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


def written(
    net: nn.Module, place: Path, shape: tuple[int, ...] = SHAPE
) -> tuple[Path, dict[str, Any]]:
    """The file of a network, and what is measured of it."""
    export, example = OnnxFile(rounds=0), torch.zeros(2, *shape)
    path = export(net, "{}", example, place)
    return path, dict(export.measure(path, net, example, 0))


def operators_of(file: bytes) -> Counter[str]:
    """What ONNX Runtime makes of a file."""
    return Counter(node.op_type for node in optimized(file).graph.node)


def kinds(path: Path) -> Counter[str]:
    """How many numbers of each type a file's constants have, scalars left out."""
    found: Counter[str] = Counter()
    import onnx  # optional

    for tensor in onnx.load(path).graph.initializer:
        if tensor.dims:
            found[onnx.TensorProto.DataType.Name(tensor.data_type)] += torch.Size(
                tensor.dims
            ).numel()
    return found
