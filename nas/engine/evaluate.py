"""Means of loss and metrics over a whole split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from nas.batch import Batch
from nas.data.base import ArrayData
from nas.data.stream import evaluation
from nas.tasks import Task


def evaluate(
    module: nn.Module,
    data: ArrayData,
    split: str,
    task: Task,
    *,
    device: torch.device,
    batch_size: int = 256,
    call: Callable[[Any], Any] | None = None,
) -> dict[str, float]:
    """The task's loss and metrics on ``split``, each the mean over samples, and their ``count``.

    ``call`` maps inputs to outputs (default: the module itself), which is in eval mode meanwhile.
    """
    forward = call or module
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            batches = evaluation(data, data.indices(split), batch_size=batch_size, device=device)
            return means(forward, batches, task)
    finally:
        module.train(was_training)


def means(forward: Callable[[Any], Any], batches: Iterable[Batch], task: Task) -> dict[str, float]:
    """The task's loss and metrics of ``forward``, means over all samples, and their ``count``."""
    sums: dict[str, float] = {}
    count = 0
    for batch in batches:
        output = forward(batch.inputs)
        n = int(torch.utils._pytree.tree_leaves(batch.targets)[0].shape[0])
        found = {"loss": task.loss(output, batch.targets)}
        found |= task.metrics(output, batch.targets)
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) * n
        count += n
    return {**{name: value / count for name, value in sums.items()}, "count": count}
