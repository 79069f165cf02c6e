"""Operations and the macro structure of the chain; shared by supernet and derived network."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.decision import Candidate
from nas.searchable.primitives import AvgPool
from search_spaces.heads import head_of
from search_spaces.ops import conv, named, norm, relu_conv_bn

OPERATIONS = ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
LAYERS = 5
HALVED = (1, 3)  # after these layers max pooling halves the size, as far as it can


def operation(name: Candidate, channels: int, dims: int = 2) -> nn.Module:
    """The operation ``name``, which keeps size and channels: (N, C, ...) to (N, C, ...)."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return AvgPool(1)
    kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[str(name)]
    return relu_conv_bn(channels, channels, kernel, dims=dims)


class Network(nn.Module):
    """A 3x3 stem, five layers with two halvings between, batch normalization, ReLU and a head.

    Args:
        layers: the five layers, each of which keeps size and channels.
        data: input shape, kind and number of outputs.
        channels: of every layer.
    """

    def __init__(self, layers: Iterable[nn.Module], *, data: DataSpec, channels: int) -> None:
        super().__init__()
        dims = data.dims
        stem = conv(data.channels, channels, 3, dims=dims)
        self.stem = named(conv=stem, norm=norm(channels, dims=dims))
        self.layers = nn.ModuleList(layers)
        pool = nn.MaxPool1d if dims == 1 else nn.MaxPool2d
        self.halve = pool(2, 2, ceil_mode=True)
        self.last = named(norm=norm(channels, dims=dims), relu=nn.ReLU())
        self.pool, self.classifier, self.resize = head_of(data, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        x = self.stem(x)
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in HALVED:
                x = self.halve(x)
        outputs: Tensor = self.resize(self.classifier(self.pool(self.last(x))))
        return outputs
