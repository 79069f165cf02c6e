"""The contract of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from nas.dataspec import DataSpec
from nas.errors import NasError

SHIPPED = {
    "classes": "classification",
    "multi-label": "multi_label",
    "dense": "segmentation",
    "image": "regression",
}
"""The name in group ``task`` that learns each kind of data."""


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


def require_kind(task: str, spec: DataSpec, *kinds: str) -> None:
    """Raise NasError, naming the task for it, unless the data is of one of ``kinds``."""
    if spec.kind not in kinds:
        raise NasError(
            f"{task} needs data of kind {' or '.join(map(repr, kinds))}, got {spec.kind!r}; "
            f"choose task={SHIPPED[spec.kind]}, or other data"
        )


def shape(tensor: Tensor) -> str:
    """The shape of one sample of a batch, for messages: ``3x8x8``."""
    return "x".join(map(str, tensor.shape[1:])) or "one number"
