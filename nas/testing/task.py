"""The contract of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import Task
from nas.testing import common
from nas.testing.common import attempting, require

Example = Callable[[int, torch.Generator], tuple[Tensor, Any]]
COUNT = 12
STEPS = 60
CLOSE = 1e-5

KINDS = (
    DataSpec((3, 8, 8), "classes", 5),
    DataSpec((3, 8, 8), "multi-label", 5),
    DataSpec((3, 8, 8), "image", 3),
    DataSpec((3, 8, 8), "dense", 5),  # last: a task for values of a kind takes an image first
)


def check_task(
    task: Task, data: DataSpec | None = None, *, example: Example | None = None, seed: int = 0
) -> None:
    """Check a task: losses and metrics are means over samples, and a better output scores better.

    Args:
        task: what to check.
        data: which it is for; default: the first kind of data that it accepts.
        example: ``example(count, generator)`` gives an output and its target; default: by ``data``.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    with common.seeded(seed) as generator:
        spec = _accepted(task, data)
        output, target = example(COUNT, generator) if example else _example(spec, generator)
        _check_names(task)
        _check_loss(task, output, target)
        _check_metrics(task, output, target)
        _check_means(task, output, target)
        _check_direction(task, output, target)


def _accepted(task: Task, data: DataSpec | None) -> DataSpec:
    found = []
    for spec in KINDS if data is None else (data, *KINDS):
        try:
            task.check(spec)
        except NasError as error:
            require(spec is not data, f"the task refuses the data it is to be checked on: {error}")
        except Exception as error:
            raise AssertionError(
                f"check() must refuse data with a NasError, got {type(error).__name__}: {error}"
            ) from error
        else:
            found.append(spec)
    require(bool(found), "check() refuses every kind of data")
    return found[0]


def _example(data: DataSpec, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    output = torch.randn(COUNT, data.outputs, *data.output_size, generator=generator)
    return output, common.targets_for(data, output, generator)


def _check_names(task: Task) -> None:
    known = dict(task.higher_is_better)
    require(
        task.primary in known,
        f"the primary metric {task.primary!r} is not among {', '.join(known) or 'no metrics'}",
    )


def _check_loss(task: Task, output: Tensor, target: Any) -> None:
    leaf = output.clone().requires_grad_()
    with attempting("computing the loss"):
        loss = task.loss(leaf, target)
    require(loss.shape == (), f"the loss must be one number, got the shape {tuple(loss.shape)}")
    require(bool(loss.isfinite()), f"the loss of a random output is {common.number(loss)}")
    require(loss.requires_grad, "the loss cannot be differentiated")
    (gradient,) = torch.autograd.grad(loss, leaf)
    require(
        bool(gradient.isfinite().all()) and bool(gradient.any()),
        "the loss gives no usable gradient to the output",
    )


def _check_metrics(task: Task, output: Tensor, target: Any) -> None:
    leaf = output.clone().requires_grad_()
    with attempting("computing the metrics"):
        found = task.metrics(leaf, target)
    require(
        set(found) == set(task.higher_is_better),
        f"metrics() gives {sorted(found)}, higher_is_better names {sorted(task.higher_is_better)}",
    )
    for name, value in found.items():
        require(value.shape == (), f"metric {name!r} must be one number")
        require(not value.requires_grad, f"metric {name!r} must be outside the graph")
        require(bool(value.isfinite()), f"metric {name!r} of a random output is {float(value)}")


def _check_means(task: Task, output: Tensor, target: Any) -> None:
    """Both halves of a batch count as much as each other."""
    half = COUNT // 2
    parts = [(output[:half], target[:half]), (output[half:], target[half:])]
    losses = [float(task.loss(*part)) for part in parts]
    _require_mean("the loss", float(task.loss(output, target)), losses)
    whole = task.metrics(output, target)
    for name in whole:
        _require_mean(
            f"metric {name!r}",
            float(whole[name]),
            [float(task.metrics(*part)[name]) for part in parts],
        )


def _require_mean(what: str, whole: float, parts: list[float]) -> None:
    mean = sum(parts) / len(parts)
    require(
        abs(whole - mean) <= CLOSE * max(1.0, abs(whole)),
        f"{what} is not a mean over samples: {whole:g} for a batch, {mean:g} for its halves, so it "
        "would depend on the batch size",
    )


def _check_direction(task: Task, output: Tensor, target: Any) -> None:
    """An output that is fitted to the target has a lower loss and a better primary metric."""
    leaf = output.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(leaf, target))
        optimizer.step()
    fitted = leaf.detach()
    require(
        float(task.loss(fitted, target)) < float(task.loss(output, target)),
        "following the loss's gradient does not lower the loss",
    )
    sign = 1 if task.higher_is_better[task.primary] else -1
    before, after = (float(task.metrics(o, target)[task.primary]) for o in (output, fitted))
    require(
        sign * after > sign * before,
        f"an output fitted to its target changes {task.primary!r} from {before:g} to {after:g}, "
        "which higher_is_better calls worse",
    )
