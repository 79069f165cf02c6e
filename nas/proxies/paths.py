"""Synaptic flow: the sum over all paths of the product of absolute weights along them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nas.proxies.probe import Probe, gradients, weighted

_NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def synflow(probe: Probe) -> float:
    """``sum |w| * dR/d|w|``, R the sum of outputs for inputs of ones (arXiv 2006.05467).

    All parameters are replaced by their absolute values and normalizations are left out, as in
    arXiv 2101.08134; in double precision. Data and loss are not used. For a chain of l layers
    without biases it is l times the sum over paths. Results for published tables are often given
    as the logarithm of it, which has the same order.
    """
    net = deepcopy(probe.net).double()
    _without_normalization(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    weights: list[Tensor] = [layer.weight for layer in weighted(net)]
    ones = torch.ones_like(probe.inputs[:1], dtype=torch.float64)
    with torch.enable_grad():
        total = torch.stack([leaf.sum() for leaf in tree_leaves(net(ones))]).sum()
        found = gradients(total, weights)
    pairs = zip(weights, found, strict=True)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)


def _without_normalization(net: nn.Module) -> None:
    for part in list(net.modules()):
        for name, child in part.named_children():
            if isinstance(child, _NORMALIZATIONS):
                setattr(part, name, nn.Identity())
