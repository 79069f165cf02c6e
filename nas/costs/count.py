"""Parameters and multiply-accumulates: of a built network, and expected over open choices.

The counting rule, printed beside every figure: MACs of convolutions and linear layers for one
input; biases, normalization, pooling and additions count nothing. Parameters are all learnable
numbers; the auxiliary head, which inference never runs, is left out of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.cost_tree import tree_of
from nas.costs.base import TreeCost
from nas.errors import SpaceError
from nas.searchable import plain_execution
from nas.supernet import Supernet

COUNTING_RULE = "MACs: convolutions and linear layers, one input; parameters without auxiliary head"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_KEEP_SHAPE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU)


def count_parameters(net: nn.Module) -> int:
    """Learnable numbers of a network, its ``auxiliary`` head left out."""
    skipped = {parameter for module in _auxiliary(net) for parameter in module.parameters()}
    return sum(p.numel() for p in net.parameters() if p not in skipped)


def _auxiliary(net: nn.Module) -> set[nn.Module]:
    extra = getattr(net, "auxiliary", None)
    return set(extra.modules()) if isinstance(extra, nn.Module) else set()


def count_macs(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one forward of one input of ``input_shape`` (without batch axis)."""
    return int(sum(macs_by_module(net, input_shape).values()))


def macs_by_module(net: nn.Module, input_shape: Sequence[int]) -> dict[nn.Module, float]:
    """Multiply-accumulates of each convolution and linear layer, by one forward in eval mode."""
    counts: dict[nn.Module, float] = {}

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[module] = counts.get(module, 0.0) + _macs(module, output)

    handles = [
        module.register_forward_hook(hook)
        for module in net.modules()
        if isinstance(module, (*_CONVOLUTIONS, nn.Linear))
    ]
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.no_grad(), plain_execution(net), _shapes_alone(net, device):
            net(torch.zeros(1, *input_shape, device=device))
    finally:
        for module, mode in modes.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    return counts


@contextmanager
def _shapes_alone(net: nn.Module, device: torch.device) -> Iterator[None]:
    """On the meta device, modules that keep the shape pass their input on.

    There PyTorch derives shapes of these in Python, which takes seconds for a whole supernet.
    """
    kept = [m for m in net.modules() if isinstance(m, _KEEP_SHAPE)] if device.type == "meta" else []
    for module in kept:
        module.__dict__["forward"] = _passed_on
    try:
        yield
    finally:
        for module in kept:
            del module.__dict__["forward"]


def _passed_on(x: Tensor) -> Tensor:
    return x


def _macs(module: nn.Module, output: Tensor) -> float:
    positions = output.numel() / output.shape[0]
    if isinstance(module, _CONVOLUTIONS):
        return positions * module.in_channels // module.groups * math.prod(module.kernel_size)
    assert isinstance(module, nn.Linear)
    return positions * module.in_features


class _AllOpen(nn.Module):
    """A network with every choice open, run once to see all shapes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.supernet = Supernet(net)
        hard = sorted(name for name, d in self.supernet.decisions.items() if not d.soft)
        if hard:
            raise SpaceError(f"decision {hard[0]!r} is hard: its cost cannot be an expectation")
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        self.arch = {
            name: Weights(
                torch.full((d.groups, len(d)), 1 / len(d), device=device), tuple(range(len(d)))
            )
            for name, d in self.supernet.decisions.items()
        }

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.supernet(x, self.arch)
        return output


class Parameters(TreeCost):
    """Expected parameters of ``space.network(genotype)``, from ``nas.space.blueprint``."""

    def __init__(self, net: nn.Module) -> None:
        counted = set(net.modules()) - _auxiliary(net)
        own = {m: float(sum(p.numel() for p in m.parameters(recurse=False))) for m in counted}
        super().__init__("params", "parameters", tree_of(net, own))


class Macs(TreeCost):
    """Expected multiply-accumulates of ``space.network(genotype)``, from ``nas.space.blueprint``.

    Args:
        net: the blueprint; run once, on the device it is on (``meta`` needs no memory).
        input_shape: of one input, without batch axis.
    """

    def __init__(self, net: nn.Module, input_shape: Sequence[int]) -> None:
        own = macs_by_module(_AllOpen(net), input_shape)
        super().__init__("macs", "MAC", tree_of(net, own))
