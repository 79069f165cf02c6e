"""What an agent has seen, as rows of one tensor per quantity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Transitions(NamedTuple):
    """Some steps of episodes, row by row.

    Attributes:
        states: (n, features), before the action.
        actions: (n, 1), in [0, 1].
        rewards: (n,).
        conditions: (n,), int64: under which condition each was seen.
        after: (n, features), the state that followed; any where the episode was over.
        done: (n,), 1.0 where the episode was over, else 0.0.
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    conditions: Tensor
    after: Tensor
    done: Tensor


class Replay:
    """The last ``size`` transitions, on the CPU; older ones are written over."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: Transitions | None = None

    def __len__(self) -> int:
        return 0 if self._kept is None else len(self._kept.rewards)

    def add(self, new: Transitions) -> None:
        """Keep these too, the oldest ones last to stay."""
        new = Transitions(*(part.detach().clone() for part in new))
        if self._kept is None:
            self._kept = Transitions(*(part[:0] for part in new))
        joined = Transitions(
            *(torch.cat([old, one])[-self.size :] for old, one in zip(self._kept, new, strict=True))
        )
        self._kept = joined

    def draw(self, count: int, generator: torch.Generator) -> Transitions:
        """``count`` rows, each drawn uniformly and with replacement."""
        assert self._kept is not None
        rows = torch.randint(len(self), (count,), generator=generator)
        return Transitions(*(part[rows] for part in self._kept))
