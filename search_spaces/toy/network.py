"""One operation on each input channel; shared by supernet and derived network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nas.dataspec import DataSpec
from search_spaces.blocks import conv_norm
from search_spaces.heads import head_of
from search_spaces.ops import named, norm


class Network(nn.Module):
    """Each input channel widened pointwise and operated on alone; side by side into a head.

    Args:
        operations: one for each input channel; each keeps size and channels.
        data: input shape, kind and number of outputs.
        channels: of every operation.
    """

    def __init__(self, operations: Iterable[nn.Module], *, data: DataSpec, channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operations)
        stems = (conv_norm(1, channels, relu=False, dims=data.dims) for _ in self.operations)
        self.stems = nn.ModuleList(stems)
        features = channels * len(self.operations)
        self.last = named(norm=norm(features, dims=data.dims), relu=nn.ReLU())
        self.pool, self.classifier, self.resize = head_of(data, features)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        parts = zip(self.stems, self.operations, torch.split(x, 1, 1), strict=True)
        y = torch.cat([operation(stem(part)) for stem, operation, part in parts], 1)
        outputs: Tensor = self.resize(self.classifier(self.pool(self.last(y))))
        return outputs
