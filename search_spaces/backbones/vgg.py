"""VGG-16 for small images: convolutions and pooling in a row."""

from __future__ import annotations

from torch import nn

from nas.dataspec import DataSpec
from search_spaces.backbones.common import Classifier, check_at_least, initialized
from search_spaces.blocks import conv_norm
from search_spaces.ops import named

# convolutions of each stage, and their width in multiples of the first stage's
_VGG16 = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


def cifar_vgg16(data: DataSpec, channels: int = 64) -> nn.Module:
    """The 13 convolutions of VGG-16 (1409.1556, configuration D) and one linear layer.

    Batch normalization and ReLU follow each convolution, which has no bias; 2x2 max pooling ends
    each of the five stages, so that of 32x32 inputs one position is left.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the first stage; the last two have eight times as many.

    Raises:
        SpaceError: for no channels.
    """
    check_at_least("channels", channels, 1)
    pool = nn.MaxPool1d if data.dims == 1 else nn.MaxPool2d
    parts: dict[str, nn.Module] = {}
    width = data.channels
    for stage, (layers, factor) in enumerate(_VGG16, start=1):
        for layer in range(1, layers + 1):
            parts[f"conv{stage}_{layer}"] = conv_norm(
                width, width := factor * channels, 3, dims=data.dims
            )
        parts[f"pool{stage}"] = pool(2, 2, ceil_mode=True)  # small inputs keep a position
    return initialized(Classifier(named(**parts), width, data))
