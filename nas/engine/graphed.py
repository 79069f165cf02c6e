"""Steps that are captured once and launched again as a whole: a CUDA graph per phase and epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map_only

from nas import console
from nas.batch import Batch
from nas.errors import NasError
from nas.strategies.base import Capturable, Phase, Step, Update
from nas.strategies.optimizers import make_capturable

WARM = 3  # steps before the first capture of a phase, as torch's manual has it
AGAIN = 1  # steps before a later one: an optimizer may have been given new state to make

Metrics = Mapping[str, Tensor]
Call = Callable[[], Metrics]


@dataclass(frozen=True)
class Captured:
    """A step on fixed tensors: ``replay`` does it once more and writes ``metrics`` anew."""

    replay: Callable[[], None]
    metrics: Metrics


class Backend(Protocol):
    """How steps run before a capture, and how one is captured."""

    def eager(self, call: Call) -> Metrics:
        """Run a step as it is, where a later capture finds what it left."""
        ...

    def capture(self, call: Call) -> Captured:
        """Record a step without doing it; RuntimeError if it cannot be recorded."""
        ...


class GraphedStep:
    """One phase's step: its first calls run as they are, the later ones as a graph.

    A graph is good for one epoch: learning rates, temperatures and the like are numbers inside it,
    and schedules change them between epochs. Steps that run as they are move the state like all
    others, so nothing is done in vain and nothing has to be put back. Batches of other shapes than
    the captured one run as they are.

    Args:
        step: of the phase.
        backend: runs and captures it.
        must: whether a step that cannot be captured is an error; else one sentence says so, and all
            steps run as they are.
    """

    def __init__(self, step: Step, backend: Backend, must: bool = False) -> None:
        self.step, self.backend, self.must = step, backend, must
        self._possible, self._refused = True, False
        self._captured: Captured | None = None
        self._inputs: tuple[Batch, ...] = ()
        self._left = WARM

    def __call__(self, *batches: Batch) -> Metrics:
        """Do the step; returns its metrics, which later steps leave alone."""
        if self._captured is None and self._possible and not self._refused:
            if self._left == 0:
                self._captured = self._capture(batches)
            else:
                self._left -= 1
        if self._captured is None or not _fit(self._inputs, batches):
            return self.backend.eager(lambda: self.step(*batches))
        for held, given in zip(_tensors(self._inputs), _tensors(batches), strict=True):
            held.copy_(given)
        self._captured.replay()
        return {name: value.clone() for name, value in self._captured.metrics.items()}

    def forget(self, possible: bool) -> None:
        """Drop the graph: knobs have changed. ``possible`` says whether to capture another one."""
        self._possible, self._captured, self._inputs = possible, None, ()
        self._left = max(self._left, AGAIN)

    def restart(self) -> None:
        """Drop the graph and warm up anew: the state was loaded."""
        self._captured, self._inputs, self._left = None, (), WARM

    def _capture(self, batches: tuple[Batch, ...]) -> Captured | None:
        if not all(isinstance(leaf, Tensor) for leaf in tree_flatten(batches)[0]):
            self._refuse("a batch holds more than tensors")
            return None
        self._inputs = tree_map_only(Tensor, torch.clone, batches)
        try:
            return self.backend.capture(lambda: self.step(*self._inputs))
        except RuntimeError as error:
            self._refuse(str(error).split("\n")[0], error)
            return None

    def _refuse(self, reason: str, error: RuntimeError | None = None) -> None:
        self._refused, self._inputs = True, ()
        if self.must:
            raise NasError(
                f"cuda_graph=true, but this step cannot be captured: {reason}; use "
                "cuda_graph=auto, which then goes without, or cuda_graph=false"
            ) from error
        console.warn(f"a step could not be captured as a CUDA graph, so it runs without: {reason}")


class Graphed:
    """An update whose steps run as graphs; also a schedule, the last one, which drops them.

    Args:
        update: its steps are captured; it has to be ``Capturable``.
        backend: runs and captures them.
        must: whether it is an error if one cannot be captured.
    """

    def __init__(self, update: Update, backend: Backend, must: bool = False) -> None:
        assert isinstance(update, Capturable)
        self.update, self._capturable = update, update
        self.backend, self.must = backend, must
        self._steps: list[GraphedStep] = []
        self._prepare()

    def phases(self, epochs: int) -> Sequence[Phase]:
        """The update's phases, their steps captured."""
        phases = self.update.phases(epochs)
        self._steps = [GraphedStep(phase.step, self.backend, self.must) for phase in phases]
        return [replace(p, step=s) for p, s in zip(phases, self._steps, strict=True)]

    def on_epoch(self, epoch: int) -> None:
        """Drop every graph: the knobs of this epoch are others."""
        possible = self._capturable.obstacle() is None
        for step in self._steps:
            step.forget(possible)

    def _prepare(self) -> None:
        for optimizer in self._capturable.optimizers():
            make_capturable(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """That of the update."""
        return self.update.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.update.load_state_dict(state)
        self._prepare()
        for step in self._steps:
            step.restart()


def _tensors(batches: Sequence[Batch]) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tuple(batches))[0] if isinstance(leaf, Tensor)]


def _fit(held: Sequence[Batch], given: Sequence[Batch]) -> bool:
    """Whether ``given`` can be copied into ``held`` without changing a shape or a type."""
    ours, form = tree_flatten(tuple(held))
    theirs, other = tree_flatten(tuple(given))
    return form == other and all(
        isinstance(b, Tensor) and (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        for a, b in zip(ours, theirs, strict=True)
    )
