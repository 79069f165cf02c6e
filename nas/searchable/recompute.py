"""Less memory for more time: parts of a network that are computed again for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nas.searchable.primitives import Noise
from nas.supernet import Slot

Run = Callable[..., Any]


def recomputed(module: nn.Module, run: Run, *inputs: Any) -> Any:
    """``run(*inputs)``, which uses ``module``; only the inputs are kept for the backward pass.

    It runs a second time there, on the tensors and the weights of decisions of the first time,
    whatever was bound or lent in between. Running statistics move the first time only: the second
    time it is copies that move. Noise is drawn again as it was; other randomness is not replayed.
    """
    parameters = {f"module.{name}": value for name, value in module.named_parameters()}
    buffers = {f"module.{name}": value for name, value in module.named_buffers()}
    slots = [(part, part.held) for part in module.modules() if isinstance(part, Slot)]
    again = False

    @contextmanager
    def second() -> Iterator[None]:
        nonlocal again
        later = [(slot, slot.held) for slot, _ in slots]
        again = True
        _hold(slots)
        try:
            yield
        finally:
            _hold(later)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), second()

    def call(*given: Any) -> Any:
        if not again:
            return run(*given)
        lent = {**parameters, **{name: value.clone() for name, value in buffers.items()}}
        return torch.func.functional_call(_Using(module, run), lent, given)

    noisy = any(isinstance(part, Noise) for part in module.modules())
    return checkpoint(
        call, *inputs, use_reentrant=False, preserve_rng_state=noisy, context_fn=contexts
    )


class _Using(nn.Module):
    """A function as a module, so that the tensors it uses can be lent to it."""

    def __init__(self, module: nn.Module, run: Run) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, *inputs: Any) -> Any:
        return self.run(*inputs)


def _hold(slots: list[tuple[Slot, Any]]) -> None:
    for slot, held in slots:
        slot.held = held
