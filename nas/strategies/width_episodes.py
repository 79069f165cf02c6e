"""Episodes of pruning: one width after the other, none of which can break the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.strategies.targets import ROUNDING, check_reachable

Places = Sequence[int]
"""Of every decision the place of a candidate on its ladder."""
Act = Callable[[Tensor], float]
"""From a state (features,) to the share of channels to remove, in [0, 1]."""
RUNNING = 4  # features that are known at run time alone


@dataclass(frozen=True)
class Episode:
    """One pass over all widths.

    Attributes:
        places: what was chosen.
        states: (steps, features), each before its action.
        actions: (steps, 1), shares removed, as they were carried out.
        clamped: how many actions would have broken the target.
    """

    places: tuple[int, ...]
    states: Tensor
    actions: Tensor
    clamped: int


class WidthEpisodes:
    """The environment of CACP (arXiv 2009.09724) over the framework's own costs.

    A step chooses how much of one ladder of widths to keep. With ``c(p, q)`` the share of the whole
    cost that is left when what came before is as chosen, this ladder at ``p`` and all later ones at
    their ``q`` (least or most), the state is

        (target, fixed features of the step, removed ``1 - c(p, most)``, still to be decided on
        ``c(p, most) - c(p, least)``, action before)

    An action ``a`` asks for the candidate whose share is nearest to ``1 - a``. If that does not
    leave ``c(p, least) <= target``, or breaks the budget, the next lower candidate is taken until
    one does: the published ``a >= duty / MACs_of_layer`` for any cost, without its reserve of a
    tenth. Since the least candidates meet the target before a step, one of this step's does after
    it, so that whatever acts, the cost kept never exceeds the target.

    Args:
        ladders: by step, the shares of channels that can be kept, rising.
        cost: of the candidates at these places, as a share of the whole network's.
        fixed: (steps, any), of each step in any unit; scaled to 0 to 1 column by column here.
        allowed: whether these places keep to the budget.
    """

    def __init__(
        self,
        ladders: Sequence[Sequence[float]],
        cost: Callable[[Places], float],
        fixed: Tensor,
        allowed: Callable[[Places], bool] = lambda places: True,
    ) -> None:
        self.ladders = [tuple(ladder) for ladder in ladders]
        self.cost, self.allowed, self.fixed = cost, allowed, _scaled(fixed)
        self.least = self.cost([0] * len(self.ladders))

    @property
    def features(self) -> int:
        """Numbers of a state."""
        return self.fixed.shape[1] + RUNNING

    def check(self, targets: Sequence[float]) -> None:
        """Raise ConfigError for a target that the smallest network is above."""
        check_reachable(targets, self.least)

    def run(self, target: float, act: Act) -> Episode:
        """One episode under a target that `check` let pass.

        Args:
            target: share of the cost that may be kept.
            act: asked once per step, in order.
        """
        count = len(self.ladders)
        chosen, states, actions, clamped = list[int](), list[Tensor](), list[float](), 0
        for step in range(count):
            kept = self.cost([*chosen, *self._most(step)])
            least = self.cost([*chosen, *[0] * (count - step)])
            before = actions[-1] if actions else 0.0
            running = torch.tensor([1 - kept, kept - least, before], dtype=self.fixed.dtype)
            known = torch.tensor([target], dtype=self.fixed.dtype)
            states.append(torch.cat([known, self.fixed[step], running]))
            wanted = self._nearest(step, 1 - act(states[-1]))
            place = self._clamped(chosen, wanted, target)
            clamped += place != wanted
            chosen.append(place)
            actions.append(1 - self.ladders[step][place])
        carried_out = torch.tensor(actions, dtype=self.fixed.dtype)[:, None]
        return Episode(tuple(chosen), torch.stack(states), carried_out, clamped)

    def _most(self, first: int) -> list[int]:
        return [len(ladder) - 1 for ladder in self.ladders[first:]]

    def _nearest(self, step: int, share: float) -> int:
        ladder = self.ladders[step]
        return min(range(len(ladder)), key=lambda place: abs(ladder[place] - share))

    def _clamped(self, chosen: Places, wanted: int, target: float) -> int:
        """The highest place up to ``wanted`` from which the target can still be met."""
        later = [0] * (len(self.ladders) - len(chosen) - 1)
        for place in range(wanted, 0, -1):
            places = [*chosen, place, *later]
            if self.cost(places) <= target + ROUNDING and self.allowed(places):
                return place
        return 0


def _scaled(features: Tensor) -> Tensor:
    """Every column from 0 to 1; one whose entries are equal is 0."""
    low, high = features.amin(0), features.amax(0)
    return (features - low) / torch.where(high > low, high - low, 1.0)
