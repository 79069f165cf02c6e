"""Proxies that need no pass: sizes of the network and of its weights."""

from __future__ import annotations

from copy import deepcopy

from nas.costs.count import count_macs, count_parameters
from nas.proxies.probe import Probe


def params(probe: Probe) -> float:
    """Learnable numbers, the auxiliary head left out."""
    return float(count_parameters(probe.net))


def flops(probe: Probe) -> float:
    """Multiply-accumulates of convolutions and linear layers for one input."""
    net = deepcopy(probe.net).float()  # counted by an input of single precision
    return float(count_macs(net, probe.inputs.shape[1:]))


def l2_norm(probe: Probe) -> float:
    """The sum over layers of the Euclidean norm of the weights (arXiv 2101.08134)."""
    return sum(float(weight.detach().norm()) for weight in probe.weights)
