"""Layer types of which is known how they treat channels; subclasses, of anybody, count as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.searchable.primitives import Noise, Pool, Zero

Convolution = nn.Conv1d | nn.Conv2d
Norm = nn.BatchNorm1d | nn.BatchNorm2d

_SAME_SHAPE = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.LogSigmoid, nn.Tanh),
    *(nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Threshold),
)
_OTHER_SIZE = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.LPPool1d, nn.LPPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d),
    *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d),
    *(Pool, Zero, Noise),
)
CHANNELWISE = (*_SAME_SHAPE, *_OTHER_SIZE)  # what comes out of a channel is made of it alone
_KNOWN = (
    *(nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.PReLU, nn.Flatten),
    *(*CHANNELWISE, nn.PixelShuffle, nn.PixelUnshuffle),
)


def is_known(module: nn.Module) -> bool:
    """Whether a module is a layer of which nothing inside has to be looked at."""
    return isinstance(module, _KNOWN)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a convolution reads one channel for each that it makes."""
    return (
        isinstance(module, Convolution)
        and 1 < module.groups == module.in_channels
        and module.out_channels % module.groups == 0
    )


def makes_channels(module: nn.Module) -> bool:
    """Whether a layer's channels are its own, each made of all that it reads."""
    return isinstance(module, (Convolution, nn.Linear)) and not is_depthwise(module)


def output_of(module: nn.Module, x: Tensor) -> Tensor:
    """A tensor of the shape that a known layer makes of ``x``, from its settings alone.

    A subclass may do what it likes with its weights: they are not used.
    """
    if isinstance(module, Convolution):
        inner = module.in_channels // module.groups
        weight = x.new_empty(module.out_channels, inner, *module.kernel_size)
        run = F.conv1d if isinstance(module, nn.Conv1d) else F.conv2d
        return run(x, weight, None, module.stride, module.padding, module.dilation, module.groups)
    if isinstance(module, nn.Linear):
        _check_width(x, x.dim() - 1, module.in_features)
        return x.new_empty(*x.shape[:-1], module.out_features)
    if isinstance(module, Norm):
        _check_width(x, 1, module.num_features)
    if isinstance(module, (*_SAME_SHAPE, nn.BatchNorm1d, nn.BatchNorm2d, nn.PReLU)):
        return torch.empty_like(x)
    result: Tensor = module.forward(x)
    return result


def _check_width(x: Tensor, axis: int, width: int) -> None:
    if x.shape[axis] != width:
        raise RuntimeError(f"the layer reads {width} channels, not {x.shape[axis]}")
