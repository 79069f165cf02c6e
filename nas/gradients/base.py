"""The contract of what acts on the weights' steps of any update rule, and the update with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from nas.strategies.base import Phase, Update


@runtime_checkable
class WeightTransform(Protocol):
    """Something around the steps of an update rule that changes or measures how weights move.

    It knows the supernet and the optimizer of its weights, not the rule; so it serves every rule
    that trains the weights by this optimizer. It is a schedule as well: its knobs are functions of
    the epoch. In a strategy file it is an entry of ``transforms``; of the arguments ``supernet``,
    ``optimizer``, ``task``, ``autocast``, ``epochs`` and ``seed`` it is given those it has.
    """

    def around(self, phase: Phase) -> Phase:
        """The phase with its step wrapped, and the streams that it needs added behind."""
        ...

    def on_epoch(self, epoch: int) -> None:
        """Set knobs as a function of the epoch alone."""
        ...

    def describe(self) -> str:
        """What it costs or does, in a few words for the user."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain values only."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave, bit for bit."""
        ...


class Transformed:
    """An update whose steps run inside those of transforms, the last one outermost."""

    def __init__(self, update: Update, transforms: Mapping[str, WeightTransform]) -> None:
        self.update, self.transforms = update, dict(transforms)

    def phases(self, epochs: int) -> Sequence[Phase]:
        """Those of the update, each inside all transforms."""
        found = []
        for phase in self.update.phases(epochs):
            for transform in self.transforms.values():
                phase = transform.around(phase)
            found.append(phase)
        return found

    def state_dict(self) -> dict[str, Any]:
        """That of the update, and those of the transforms by name."""
        own = {name: transform.state_dict() for name, transform in self.transforms.items()}
        return {**self.update.state_dict(), "transforms": own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.update.load_state_dict(state)
        for name, transform in self.transforms.items():
            transform.load_state_dict(state["transforms"][name])
