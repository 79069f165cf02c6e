"""Proxies by gradients of the loss with respect to weights and outputs of the layers."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.proxies.probe import Probe, gradients


def snip(probe: Probe) -> float:
    """``sum |w * dL/dw|`` over all weights (arXiv 1810.02340)."""
    pairs = zip(probe.weights, probe.first.gradients, strict=True)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)


def plain(probe: Probe) -> float:
    """``sum w * dL/dw`` over all weights, with its sign (arXiv 2101.08134)."""
    pairs = zip(probe.weights, probe.first.gradients, strict=True)
    return sum(float((weight.detach() * gradient).sum()) for weight, gradient in pairs)


def grad_norm(probe: Probe) -> float:
    """The sum over layers of the Euclidean norm of ``dL/dw`` (arXiv 2101.08134)."""
    return sum(float(gradient.norm()) for gradient in probe.first.gradients)


def grasp(probe: Probe) -> float:
    """``-sum w * Hg`` with g the gradient of the loss and H its Hessian (arXiv 2002.07376).

    Both by the weights of convolutions and linear layers. The paper scores single weights so and
    prunes the largest; the sum over a network with this sign is that of arXiv 2101.08134.
    """
    weights = probe.weights
    with torch.enable_grad():
        loss = probe.loss(probe.net(probe.inputs), probe.targets)
        first = gradients(loss, weights, create_graph=True)
        inner = torch.stack([(one.detach() * one).sum() for one in first]).sum()
        products = gradients(inner, weights)
    pairs = zip(weights, products, strict=True)
    return -sum(float((weight.detach() * product).sum()) for weight, product in pairs)


def fisher(probe: Probe) -> float:
    """``sum_c 1/(2N) sum_n (sum_xy a_nc dL/da_nc)^2`` over channels c of all layers' outputs a.

    The saliency of channels of arXiv 1801.05787 as arXiv 1906.04113 adds it up; L is the mean over
    the batch, which divides the score by N^2 and leaves the order.
    """
    found = probe.first
    pairs = zip(found.outputs, found.output_gradients, strict=True)
    return sum(_saliency(output, gradient) for output, gradient in pairs)


def _saliency(output: Tensor, gradient: Tensor) -> float:
    product = output * gradient
    product = product.flatten(2).sum(2) if product.dim() > 2 else product
    return float(product.pow(2).mean(0).sum()) / 2
