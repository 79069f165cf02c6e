"""Small networks and batches in double precision for the tests of proxies."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas.batch import Batch

CLASSES, SAMPLES = 3, 5


def loss(output: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(output, target)


def convolutional(seed: int = 0) -> nn.Module:
    """Two convolutions with normalization and ReLU, pooling, a linear layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 3, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(3, CLASSES),
    ).double()


def images(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(SAMPLES, 2, 4, 4, generator=generator, dtype=torch.float64)
    return Batch(inputs, torch.randint(CLASSES, (SAMPLES,), generator=generator))


def weights_of(net: nn.Module) -> list[Tensor]:
    layers = (m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return [layer.weight for layer in layers]
