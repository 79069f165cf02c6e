"""What the layers that a step trains read, and behind which part of the architecture."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.errors import NasError
from nas.gradients.layers import Layer
from nas.gradients.patches import Draw, draw
from nas.searchable.watch import Reading, watching
from nas.supernet import Slot, Supernet


@dataclass
class Seen:
    """Of one layer in one step.

    Attributes:
        columns: what it read, (blocks, D, r) for each time it ran.
        behind: a number for all that had been chosen before it ran; equal for equal choices.
    """

    columns: list[Tensor] = field(default_factory=list)
    behind: int = 0

    @property
    def inputs(self) -> Tensor:
        """All columns, (blocks, D, n)."""
        return self.columns[0] if len(self.columns) == 1 else torch.cat(self.columns, -1)


class Observer:
    """Keeps a few inputs of every layer whose weight receives a gradient.

    A forward counts where a backward from it reaches a weight: architecture steps, which
    differentiate with respect to logits alone, look-ahead steps and forwards that are done again
    to save memory leave nothing.

    Args:
        supernet: whose forwards are watched.
        layers: whose inputs are kept.
        rank: patches per forward and layer.
        generator: of the patches, on the CPU.
    """

    def __init__(
        self,
        supernet: Supernet,
        layers: Sequence[Layer],
        rank: int,
        generator: torch.Generator,
    ) -> None:
        self.supernet, self.rank, self.generator = supernet, rank, generator
        self._layers: Mapping[int, Layer] = {id(layer.module): layer for layer in layers}
        # A choice counts where the module that owns the slot runs: fused nodes ask all of their
        # slots, used or not, whether there is a mixture. Mixtures they read past the owners.
        self._choices = {
            id(module): [part for part in module.children() if isinstance(part, Slot)]
            for module in supernet.modules()
        }
        self._draw: Draw | None = None  # of the forward at hand
        self._behind, self._soft = 0, 0
        self._read: dict[str, Seen] = {}  # in the last forward
        self._seen: dict[str, Seen] = {}  # of those, what a gradient came back to

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forwards and backwards inside are those of one step of the weights."""
        self._seen, self._read = {}, {}
        handles = [
            self.supernet.register_forward_pre_hook(self._begin),
            self.supernet.register_forward_hook(self._end),
            *(
                layer.weight.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    self._confirming(layer)
                )
                for layer in self._layers.values()
                if layer.weight.requires_grad
            ),
        ]
        try:
            with watching(self._hear):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._seen, self._read, self._draw = {}, {}, None

    def seen(self, layers: Sequence[Layer]) -> dict[str, Seen]:
        """What these layers read on the way to their gradients, by name.

        Raises:
            NasError: for a layer that has a gradient and whose inputs never came by.
        """
        for layer in layers:
            if layer.name not in self._seen:
                raise NasError(
                    f"{layer.name} learns, but what it reads was not seen: a module uses its "
                    "weight without calling it; call the layer there, or train without "
                    "strategy.transforms that observe inputs"
                )
        return {layer.name: self._seen[layer.name] for layer in layers}

    def _begin(self, module: nn.Module, given: Any) -> None:
        self._read, self._behind = {}, 0
        if torch.is_grad_enabled():
            device = next(self.supernet.parameters()).device
            self._draw = draw(self.rank, self.generator, device)

    def _end(self, module: nn.Module, given: Any, output: Any) -> None:
        self._draw = None

    def _hear(self, module: nn.Module, reading: Reading | None) -> None:
        if self._draw is None:
            return
        if isinstance(module, Slot) and _choice(module) is None:
            self._soft += 1
            self._behind = zlib.crc32(f"mixture {self._soft}".encode(), self._behind)
        for slot in self._choices.get(id(module), ()):
            if choice := _choice(slot):
                self._behind = zlib.crc32(f"{slot.decision.name}={choice}".encode(), self._behind)
        layer = self._layers.get(id(module))
        if layer is None or reading is None or module.weight is not layer.weight:
            return  # not ours, or at the weights of a look-ahead step
        if not layer.weight.requires_grad:
            return
        seen = self._read.setdefault(layer.name, Seen(behind=self._behind))
        seen.columns.append(self._draw.columns(layer, reading).to(layer.weight.dtype))

    def _confirming(self, layer: Layer) -> Callable[[Tensor], None]:
        def confirm(weight: Tensor) -> None:
            if (read := self._read.pop(layer.name, None)) is not None:
                known = self._seen.setdefault(layer.name, read)
                if known is not read:
                    known.columns += read.columns
                    known.behind = zlib.crc32(str(read.behind).encode(), known.behind)

        return confirm

    def state_dict(self) -> dict[str, Any]:
        """The generator, and how many mixtures there were."""
        return {"generator": self.generator.get_state(), "soft": self._soft}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.generator.set_state(state["generator"])
        self._soft = int(state["soft"])


def _choice(slot: Slot) -> tuple[int, ...] | None:
    """The candidates that a slot was given; () for none, None for a mixture or several groups."""
    given, decision = slot.held[0], slot.decision
    if given is None:
        return ()
    if not isinstance(given, Weights) or decision.groups > 1 or len(given.live) > decision.pick:
        return None
    return given.live
