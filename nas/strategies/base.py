"""The contract of an update rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

Step = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one step function.

    Attributes:
        name: of the phase, e.g. ``warmup``.
        epochs: how many.
        streams: data streams whose batches the step takes, in order; the first sets the length of
            an epoch.
        step: ``step(*batches)`` moves the state and returns scalar metrics.
    """

    name: str
    epochs: int
    streams: tuple[str, ...]
    step: Step


@runtime_checkable
class Update(Protocol):
    """A rule by which state moves; the one loop runs its phases and checkpoints its state."""

    def phases(self, epochs: int) -> Sequence[Phase]:
        """The phases that make up ``epochs`` epochs."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain values only."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave, bit for bit."""
        ...


@runtime_checkable
class Capturable(Protocol):
    """An update whose steps can be captured as a CUDA graph.

    Between two epochs its steps launch the same kernels on tensors in the same places: they neither
    read values on the host nor send any, and draw, if at all, from the device's own generator.
    """

    def obstacle(self) -> str | None:
        """Why they cannot be captured as things are; None if they can."""
        ...

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """All that the steps use."""
        ...
