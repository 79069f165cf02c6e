"""How much a step of the weights disturbs architectures that were trained before it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch, Weights
from nas.batch import Batch
from nas.benchmarks.correlation import kendall
from nas.errors import ConfigError
from nas.strategies.base import Phase
from nas.supernet import Supernet
from nas.tasks import Task

HELD_BACK = "architecture"


class Disturbance:
    """Loss of earlier architectures before and after a step that trains another one.

    Every ``every``-th step reports ``disturbance``: with the last m architectures a_j that were
    trained, on one batch of the stream ``architecture``, which no weight learns from,

        ``PD = mean_j L(a_j; w after the step) - L(a_j; w before)``

    in units of the loss (2003.13089 has the idea; the details are our choice), and
    ``order``, Kendall's tau-b of the losses before and after. Batch normalization takes the
    statistics of the batch. The search itself is left as it is, to the bit.

    Args:
        supernet: whose weights are trained.
        task: of the loss.
        autocast: context of every forward.
        every: steps between two measurements.
        architectures: m.

    Raises:
        ConfigError: for numbers out of range.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        every: int = 20,
        architectures: int = 8,
    ) -> None:
        for name, value, least in (("every", every, 1), ("architectures", architectures, 2)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"strategy.transforms.disturbance.{name} must be a whole number of at least "
                    f"{least}, got {value!r}"
                )
        self.every, self.architectures = every, architectures
        self.supernet = supernet
        self._losses = _Losses(supernet, task, autocast)
        self._trained: deque[dict[str, Weights]] = deque(maxlen=architectures)
        self._steps = 0

    def around(self, phase: Phase) -> Phase:
        """The same, with a measurement around some of its steps; reads held-back data as well."""
        place = phase.streams.index(HELD_BACK) if HELD_BACK in phase.streams else -1
        added = () if place >= 0 else (HELD_BACK,)
        count = len(phase.streams)

        def step(*batches: Batch) -> Mapping[str, Tensor]:
            due = self._steps % self.every == 0 and len(self._trained) == self.architectures
            before = self._measured(batches[place]) if due else None
            found = phase.step(*batches[:count])
            trained = {name: each.detach() for name, each in self.supernet.realised().items()}
            measured = {} if before is None else _told(before, self._measured(batches[place]))
            self._trained.append(trained)
            self._steps += 1
            return {**found, **measured}

        return replace(phase, streams=(*phase.streams, *added), step=step)

    def on_epoch(self, epoch: int) -> None:
        """There are no knobs."""

    def describe(self) -> str:
        """What it measures, and how often."""
        return (
            f"losses of the last {self.architectures} architectures around every {self.every}th "
            "step, on held-back data"
        )

    def _measured(self, batch: Batch) -> Tensor:
        """Losses (m,); buffers and random numbers are lent copies of."""
        buffers = {name: value.clone() for name, value in self._losses.named_buffers()}
        with torch.no_grad(), torch.random.fork_rng():
            losses: Tensor = torch.func.functional_call(
                self._losses, buffers, (batch, tuple(self._trained))
            )
        return losses

    def state_dict(self) -> dict[str, Any]:
        """The architectures, and how many steps were taken."""
        trained = [
            {name: [each.values, list(each.live)] for name, each in arch.items()}
            for arch in self._trained
        ]
        return {"steps": self._steps, "trained": trained}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        device = next(self.supernet.parameters()).device
        self._steps = int(state["steps"])
        self._trained.clear()
        for arch in state["trained"]:
            self._trained.append(
                {n: Weights(values.to(device), tuple(live)) for n, (values, live) in arch.items()}
            )


class _Losses(nn.Module):
    """The losses of some architectures on a batch, (m,)."""

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        super().__init__()
        self.supernet, self.task, self.autocast = supernet, task, autocast

    def forward(self, batch: Batch, archs: Sequence[Arch]) -> Tensor:
        return torch.stack([self._loss(batch, arch) for arch in archs])

    def _loss(self, batch: Batch, arch: Arch) -> Tensor:
        with self.autocast():
            output = self.supernet(batch.inputs, arch)
        return self.task.loss(output, batch.targets)


def _told(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """The metrics; no rank correlation of losses that are all equal."""
    order = kendall(before.double().cpu().numpy(), after.double().cpu().numpy())
    found = {"disturbance": (after - before).mean()}
    return found if math.isnan(order) else {**found, "order": torch.tensor(order)}
