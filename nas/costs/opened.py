"""A network with every choice open, run for its shapes; and what no cost counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.compression.quantizer import Quantizer
from nas.errors import SpaceError
from nas.searchable import plain_execution
from nas.supernet import Supernet

_KEEP_SHAPE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, Quantizer)


def auxiliary_of(net: nn.Module) -> set[nn.Module]:
    """The modules of the ``auxiliary`` head, which inference never runs; empty without one."""
    extra = getattr(net, "auxiliary", None)
    return set(extra.modules()) if isinstance(extra, nn.Module) else set()


class AllOpen(nn.Module):
    """A network with every choice open, run once to see all shapes.

    Raises SpaceError for a hard decision, of which there is no expectation.
    """

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
        """The network's output for ``x`` (N, C, ...)."""
        output: Tensor = self.supernet(x, self.arch)
        return output


Hook = Callable[[nn.Module, tuple[Any, ...], Any], None]


def run_once(
    net: nn.Module,
    input_shape: Sequence[int],
    hook: Hook,
    kinds: tuple[type[nn.Module], ...] = (nn.Module,),
) -> None:
    """One forward of one input of zeros in eval mode; ``hook`` sees every call of these modules."""
    handles = [
        module.register_forward_hook(hook) for module in net.modules() if isinstance(module, kinds)
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
