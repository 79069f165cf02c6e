"""What the backbones share: features with a head, first weights, checks."""

from __future__ import annotations

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.heads import check_output_size, head_of


class Classifier(nn.Module):
    """Features, and the head that the kind of data asks for (``search_spaces.heads``).

    Args:
        features: (N, C, ...) to (N, width, ...).
        width: channels of the features.
        data: input shape, kind and number of outputs.
    """

    def __init__(self, features: nn.Module, width: int, data: DataSpec) -> None:
        super().__init__()
        check_output_size("backbone", data)
        self.features = features
        self.pool, self.classifier, self.resize = head_of(data, width)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        outputs: Tensor = self.resize(self.classifier(self.pool(self.features(x))))
        return outputs


def initialized(net: nn.Module) -> nn.Module:
    """``net`` with normal weights of variance 2 / fan-in in its convolutions (1502.01852)."""
    for module in net.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return net


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise SpaceError for a setting below ``least``."""
    if value < least:
        raise SpaceError(f"{name} of a backbone must be at least {least}, got {value}")
