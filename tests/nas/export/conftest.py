"""One small network with every kind of layer that the found networks have."""

import pytest
import torch
from torch import Tensor, nn

from nas import genotype

SHAPE = (1, 8, 8)


class SmallNet(nn.Module):
    """Convolution, depthwise, dilated, BN, ReLU, both poolings, concatenation, adaptive pooling."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.separable = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.dilated = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=channels)
        self.max_pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.avg_pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * channels, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.stem(inputs)
        left = self.max_pool(self.separable(x))
        right = self.avg_pool(self.dilated(torch.relu(x)) + x)
        pooled = self.pool(torch.cat([left, right], dim=1)).flatten(1)
        out: Tensor = self.head(nn.functional.dropout(pooled, 0.5, self.training))
        return out


@pytest.fixture
def shape() -> tuple[int, ...]:
    return SHAPE


@pytest.fixture
def network() -> nn.Module:
    """Return a network in training mode whose batch norms have statistics of their own."""
    net = SmallNet()
    for _ in range(3):
        net(2 * torch.randn(8, *SHAPE) + 1)
    return net


@pytest.fixture
def genotype_text() -> str:
    return genotype.dumps(genotype.make("small", "0123456789ab", {"normal/0": "conv"}))
