"""Classic networks without a choice: where compression starts from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError, nearest
from search_spaces.backbones.densenet import cifar_densenet
from search_spaces.backbones.resnet import cifar_resnet
from search_spaces.backbones.vgg import cifar_vgg16
from search_spaces.backbones.vision import NAMES, torchvision_model

__all__ = [
    "BACKBONES",
    "backbone",
    "cifar_densenet",
    "cifar_resnet",
    "cifar_vgg16",
    "torchvision_model",
]

BACKBONES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        **{f"resnet{depth}": partial(cifar_resnet, depth=depth) for depth in (20, 32, 56, 110)},
        "resnet164": partial(cifar_resnet, depth=164, bottleneck=True),
        "vgg16": cifar_vgg16,
        "densenet40": partial(cifar_densenet, depth=40),
        **{name: partial(torchvision_model, name=name) for name in NAMES},
    }
)


def backbone(name: str, data: DataSpec, **arguments: Any) -> nn.Module:
    """The network of a name, freshly initialized; outputs (N, outputs), or one per position.

    Args:
        name: one of ``BACKBONES``.
        data: input shape, kind and number of outputs.
        **arguments: of the constructor, such as ``channels`` for the width.

    Raises:
        SpaceError: for an unknown name or argument, and what the constructor refuses.
    """
    if name not in BACKBONES:
        raise SpaceError(
            f"unknown backbone {name!r}; known are {', '.join(BACKBONES)}{nearest(name, BACKBONES)}"
        )
    build = BACKBONES[name]
    settings = build.keywords if isinstance(build, partial) else {}
    allowed = [p for p in inspect.signature(build).parameters if p not in ("data", *settings)]
    for argument in arguments:
        if argument not in allowed:
            takes = f"takes {', '.join(allowed)}" if allowed else "takes no arguments"
            raise SpaceError(
                f"backbone {name!r} {takes}, got {argument!r}{nearest(argument, allowed)}"
            )
    return build(data, **arguments)
