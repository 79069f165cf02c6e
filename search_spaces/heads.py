"""What turns the last features of a network into outputs: one head for each kind of data."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.ops import conv

_MODES = {1: "linear", 2: "bilinear"}


class Head(NamedTuple):
    """Three modules that run one after the other; only the classifier has parameters."""

    pool: nn.Module
    classifier: nn.Module
    resize: nn.Module


def per_position(data: DataSpec) -> bool:
    """Whether an output has positions of its own, rather than one score per class or label."""
    return data.kind in ("dense", "image")


def check_output_size(space: str, data: DataSpec) -> None:
    """Raise SpaceError where outputs have positions that are not the inputs'."""
    if per_position(data) and data.output_size != data.size:
        inputs, outputs = ("x".join(map(str, size)) for size in (data.size, data.output_size))
        raise SpaceError(
            f"space {space} gives outputs of its inputs' size {inputs}, the data has {outputs}; "
            "choose a space that changes the size, or data of equal sizes"
        )


def head_of(data: DataSpec, channels: int) -> Head:
    """The head for a kind of data, on features (N, channels, ...) of any size.

    Classes and labels: the mean over all positions, then a linear layer; logits (N, outputs).
    Dense and image: a 1x1 convolution to ``outputs``, then linear or bilinear interpolation to
    ``data.output_size`` (``align_corners=False``); (N, outputs, ...). Interpolation and a 1x1
    convolution can change places without changing the function; in this order it is cheaper.
    """
    if not per_position(data):
        mean = nn.AdaptiveAvgPool1d(1) if data.dims == 1 else nn.AdaptiveAvgPool2d(1)
        linear = nn.Linear(channels, data.outputs)
        return Head(nn.Sequential(mean, nn.Flatten()), linear, nn.Identity())
    mapping = conv(channels, data.outputs, 1, dims=data.dims, bias=True)
    resize = nn.Upsample(size=data.output_size, mode=_MODES[data.dims], align_corners=False)
    return Head(nn.Identity(), mapping, resize)
