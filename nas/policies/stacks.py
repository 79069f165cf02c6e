"""Where the rows of a decision lie: decisions of equal length share one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.relaxations import Live


@dataclass(frozen=True)
class Rows:
    """The rows of one decision in its stack: one per group."""

    stack: str
    start: int
    stop: int


class Layout:
    """Rows of every decision in stacks of equal length and ``pick``, in the decisions' order.

    A stack's key is ``alpha_<n>``, or ``alpha_<n>_pick<k>`` where several candidates survive.
    """

    def __init__(self, decisions: Mapping[str, Decision]) -> None:
        self.decisions = dict(decisions)
        self.rows: dict[str, Rows] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.picks: dict[str, int] = {}
        for name, d in decisions.items():
            key = f"alpha_{len(d)}" + (f"_pick{d.pick}" if d.pick > 1 else "")
            start = self.sizes.get(key, (0, 0))[0]
            self.rows[name] = Rows(key, start, start + d.groups)
            self.sizes[key] = (start + d.groups, len(d))
            self.picks[key] = d.pick

    def masks(self) -> dict[str, Tensor]:
        """All candidates allowed: bool tensors (rows, n) by stack, on the CPU."""
        return {key: torch.ones(size, dtype=torch.bool) for key, size in self.sizes.items()}

    def view(self, stacks: Mapping[str, Tensor], name: str) -> Tensor:
        """The rows (groups, n) of one decision in ``stacks``."""
        if name not in self.rows:
            raise ConfigError(f"the policy does not own decision {name!r}")
        rows = self.rows[name]
        return stacks[rows.stack][rows.start : rows.stop]

    def write_mask(
        self, masks: Mapping[str, Tensor], name: str, mask: Sequence[bool] | Tensor
    ) -> bool:
        """Set a decision's rows of ``masks`` in place; returns whether anything changed.

        Raises ConfigError for a mask of another shape, or one that leaves too few candidates.
        """
        view = self.view(masks, name)
        new = torch.as_tensor(mask, dtype=torch.bool)
        if new.shape not in (view.shape, view.shape[1:]):
            raise ConfigError(
                f"decision {name!r}: a mask has shape {tuple(view.shape)}, or {view.shape[1]} "
                f"entries for all groups alike; got {tuple(new.shape)}"
            )
        new = new.cpu().expand_as(view)
        pick = self.decisions[name].pick
        if int(new.sum(-1).min()) < pick:
            raise ConfigError(
                f"decision {name!r}: the mask leaves {int(new.sum(-1).min())} candidate(s), "
                f"but {pick} must be picked"
            )
        changed = not torch.equal(view, new)
        view.copy_(new)
        return changed

    def split(self, values: Mapping[str, Tensor], live: Mapping[str, Live]) -> dict[str, Weights]:
        """Weights by decision from stacked values and the live candidates of every row."""
        arch: dict[str, Weights] = {}
        for name, rows in self.rows.items():
            alive = live[rows.stack][rows.start : rows.stop]
            union = alive[0] if len(alive) == 1 else tuple(sorted(set().union(*alive)))
            arch[name] = Weights(values[rows.stack][rows.start : rows.stop], union)
        return arch
