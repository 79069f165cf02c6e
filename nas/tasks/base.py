"""The contract of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from nas.dataspec import DataSpec


class Task(Protocol):
    """What is learnt: how outputs are compared with targets.

    Outputs and targets may be any pytree; only the task and the data set know which.
    """

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The names of all metrics, and whether more of each is better."""
        ...

    @property
    def primary(self) -> str:
        """The metric that decides between two networks; a key of ``higher_is_better``."""
        ...

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless this task can be learnt from such data."""
        ...

    def loss(self, output: Any, target: Any) -> Tensor:
        """The loss to minimize: a differentiable scalar, the mean over the batch."""
        ...

    def metrics(self, output: Any, target: Any) -> dict[str, Tensor]:
        """Scalars without gradient, each the mean over the batch, keyed as ``higher_is_better``.

        Being means, they combine over batches weighted by the number of samples.
        """
        ...
