"""Which channels are kept, as gates behind the normalization that would revive them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.cost_tree import Factor
from nas.decision import Decision
from nas.supernet import Slot

WIDTH, FILTERS = "width", "filters"


@dataclass(frozen=True)
class Ladder:
    """How many of a group's channels each candidate of a decision keeps.

    Attributes:
        decision: over shares of all channels, or (groups > 1) over blocks of filters, 0 or 1 each.
        size: channels of the group.
        block: filters that one gate keeps or drops, the first of which are always kept; 0 where
            the decision is over shares.
        round_to: numbers of channels are rounded up to a multiple of it.
    """

    decision: Decision
    size: int
    block: int = 0
    round_to: int = 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Channels that a candidate keeps, of all of them or of one block."""
        if self.block:
            return (0, self.block)
        shares = cast("tuple[float, ...]", self.decision.candidates)
        return tuple(channels(share, self.size, self.round_to) for share in shares)

    @property
    def factor(self) -> Factor:
        """The share of the channels that is kept, by candidate."""
        if self.block:
            first = self.block / self.size
            return Factor(self.decision.name, (first, 1.0))
        return Factor(self.decision.name, tuple(count / self.size for count in self.counts))

    def mask(self, weights: Weights) -> Tensor:
        """The gate of every channel: (size,)."""
        gates = weights.gates()
        if self.block:
            kept = gates[:, 1:].expand(-1, self.block).reshape(-1)
            return torch.cat([kept.new_ones(self.block), kept])
        level = torch.bucketize(torch.arange(self.size), torch.tensor(self.counts), right=True).to(
            gates.device
        )
        return gates[0, level]

    def evidence(self, weight: Tensor) -> Tensor:
        """How large the filters are that each candidate adds: (groups, n - 1), outside the graph.

        Mean absolute weights, relative to those of all filters of the layer (ABS, arXiv 2101.04935,
        eq. 14, takes the sum; relative to the layer they do not depend on its size).

        Args:
            weight: (size, ...), of the layer that makes the channels.
        """
        rows = weight.detach().abs().flatten(1).mean(1)
        rows = rows / rows.mean().clamp_min(1e-12)
        if self.block:
            return rows.view(-1, self.block).mean(1)[1:, None]
        counts = self.counts
        added = [rows[low:high] for low, high in pairwise(counts)]
        return torch.stack([part.mean() if len(part) else part.sum() for part in added])[None]


def channels(share: float, size: int, round_to: int) -> int:
    """A share of ``size`` channels, rounded up to a multiple, at most all of them."""
    wanted = max(1, round(share * size))
    return min(size, -(-wanted // round_to) * round_to)


@dataclass(frozen=True)
class Segment:
    """Neighboring channels of a layer that a ladder decides on.

    Attributes:
        ladder: how many are kept.
        offset: the first of them.
    """

    ladder: Ladder
    offset: int


class ChannelGates(nn.Identity):
    """Multiplies every channel by the gate of its ladder; others pass.

    Behind batch normalization, whose shift would revive a masked channel, and before an activation
    that leaves zero at zero. Ladders whose decision is not bound let everything pass.

    Args:
        width: channels of the input.
        segments: what is decided on.
        sources: for each segment the layer that makes its channels: evidence for thresholds.
    """

    def __init__(
        self, width: int, segments: Sequence[Segment], sources: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.width, self.segments = width, tuple(segments)
        self.slots = nn.ModuleList(Slot(segment.ladder.decision) for segment in segments)
        # Not as submodules, which would store their weights a second time.
        self._sources: tuple[nn.Module, ...]
        self.__dict__["_sources"] = tuple(sources)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` (N, C, ...)."""
        mask = self._mask(x)
        return x if mask is None else x * mask.to(x.dtype).view(1, -1, *([1] * (x.dim() - 2)))

    @property
    def owned(self) -> tuple[Decision, ...]:
        """The decisions of all segments."""
        return tuple(segment.ladder.decision for segment in self.segments)

    @property
    def made_by(self) -> Mapping[str, nn.Module]:
        """By decision the layer that makes its channels."""
        return {d.name: layer for d, layer in zip(self.owned, self._sources, strict=True)}

    def freeze(self) -> nn.Module:
        """A fixed mask, by which ``nas.compression.cut`` really makes layers smaller."""
        with torch.no_grad():
            mask = self._mask(torch.empty(0))
        return FixedChannels(torch.ones(self.width) > 0 if mask is None else mask > 0)

    def _mask(self, x: Tensor) -> Tensor | None:
        parts, end = list[Tensor](), 0
        for segment, slot, source in zip(self.segments, self._slots(), self._sources, strict=True):
            if not slot.bound:
                continue
            seen = segment.ladder.evidence(_weight(source)) if slot.deferred else None
            parts.append(torch.ones(segment.offset - end, device=x.device))
            parts.append(segment.ladder.mask(slot(seen)).to(x.device))
            end = segment.offset + segment.ladder.size
        if not parts:
            return None
        return torch.cat([*parts, torch.ones(self.width - end, device=x.device)])

    def _slots(self) -> Iterable[Slot]:
        return cast("Iterable[Slot]", self.slots)


def _weight(layer: nn.Module) -> Tensor:
    """Of a layer with a weight, or with factors in its place."""
    factors = getattr(layer, "factors", None)
    return cast(Tensor, layer.weight if factors is None else factors.dense())


class FixedChannels(nn.Identity):
    """Zeroes the channels that were not chosen, until they are cut out.

    Args:
        kept: bool (C,).
    """

    kept: Tensor

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` (N, C, ...)."""
        return x * self.kept.to(x.dtype).view(1, -1, *([1] * (x.dim() - 2)))
