"""Networks of torchvision, for the shapes of any data with images and classes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError, nearest
from search_spaces.heads import per_position
from search_spaces.ops import conv

NAMES = ("resnet18", "resnet34", "resnet50", "mobilenet_v2")


def torchvision_model(data: DataSpec, name: str) -> nn.Module:
    """A network of torchvision with fresh weights; nothing is downloaded.

    Its last linear layer gives ``data.outputs``, and its first convolution reads
    ``data.channels``. They are built for 224x224 inputs and divide the size by 32.

    Args:
        data: of images, and of kind ``classes`` or ``multi-label``.
        name: one of resnet18, resnet34, resnet50 (1512.03385), mobilenet_v2 (1801.04381).

    Raises:
        SpaceError: for another name, and for data without images or with outputs per position.
    """
    if name not in NAMES:
        raise SpaceError(
            f"unknown torchvision network {name!r}; known are {', '.join(NAMES)}"
            f"{nearest(name, NAMES)}"
        )
    if data.dims != 2 or per_position(data):
        raise SpaceError(
            f"{name} of torchvision gives class scores of images, the data is of kind "
            f"{data.kind!r} with {data.dims} spatial dimension(s); choose a backbone of CIFAR's "
            "size such as resnet20, which takes them"
        )
    from torchvision import models  # slow to import, and only wanted here

    build: Callable[..., nn.Module] = getattr(models, name)
    net = build(weights=None, num_classes=data.outputs)
    if data.channels != 3:
        _read(net, data.channels)
    return net


def _read(net: nn.Module, channels: int) -> None:
    """Replace the first convolution by one that reads another number of channels."""
    where, first = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, attribute = where.rpartition(".")
    kernel, stride = first.kernel_size[0], first.stride[0]
    wanted = conv(channels, first.out_channels, kernel, stride, bias=first.bias is not None)
    nn.init.kaiming_normal_(wanted.weight, mode="fan_out", nonlinearity="relu")  # as torchvision
    setattr(net.get_submodule(parent), attribute, wanted)
