"""Widths for several targets from one agent (CACP, arXiv 2009.09724)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nas.compression.gates import WIDTH
from nas.decision import Choice, Decision
from nas.errors import ConfigError
from nas.strategies.derivation import Candidates, Derived, check_scoring, unaffordable
from nas.strategies.target_search import Learning, TargetSearch
from nas.strategies.targets import Served, Targets
from nas.strategies.width_episodes import Places, WidthEpisodes


class ConditionalPruning:
    """One reinforcement-learning agent prunes a trained supernet for every target in turn.

    An episode decides on one width after the other; the agent sees the target, the layer and what
    is left (`WidthEpisodes`), and its actions are held back wherever the target or the budget could
    no longer be met. The reward is what the narrowed network scores on held-out data with the
    supernet's weights, without fine-tuning. The best widths of each target are kept; the genotype
    of the run is that of the first target.

    Args:
        targets: shares of the cost that may be kept, the one of the run's genotype first.
        cost: of which the targets are shares: any that is configured.
        queries: episodes of all targets together, and so networks scored at most.
        warmup: share of them with uniform actions, from which nothing is learnt yet.
        noise: deviation of the actions after the warm-up.
        noise_decay: factor of the deviation per round of all targets.
        actor_rate, critic_rate: learning rates of the agent.
        tau: share by which the agent's slow copies follow per update.
        discount: of later rewards.
        replay: episodes that the agent remembers.
        batch: transitions per update.
        momentum: of each target's moving mean and deviation of rewards.
        batches: held-out batches per score; None takes all.
        calibration: training batches from which a network's batch-norm statistics are computed
            anew; 0 normalizes each batch by itself.

    Raises:
        ConfigError: for targets and numbers out of range.
    """

    def __init__(
        self,
        targets: Sequence[float] = (0.3, 0.5, 0.7),
        cost: str = "macs",
        queries: int = 900,
        warmup: float = 1 / 9,
        noise: float = 0.5,
        noise_decay: float = 0.95,
        actor_rate: float = 1e-4,
        critic_rate: float = 1e-3,
        tau: float = 0.01,
        discount: float = 1.0,
        replay: int = 100,
        batch: int = 64,
        momentum: float = 0.95,
        batches: int | None = None,
        calibration: int = 8,
    ) -> None:
        check_scoring(queries, batches, calibration)
        self.targets, self.queries = Targets(targets, cost), queries
        if queries < len(self.targets.shares):
            raise ConfigError(
                f"strategy.derivation.queries={queries} leaves some of {len(self.targets.shares)} "
                "targets without an episode; set it higher, or give fewer targets"
            )
        self.batches, self.calibration = batches, calibration
        self.learning = Learning(
            queries,
            warmup,
            noise,
            noise_decay,
            actor_rate,
            critic_rate,
            tau,
            discount,
            replay,
            batch,
            momentum,
        )

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """Raise ConfigError for decisions that are no widths, and where there are none."""
        other = next((name for name in decisions if not name.endswith(f"/{WIDTH}")), None)
        if other is not None or not decisions:
            found = f"{other} is none" if other else "this space has none"
            raise ConfigError(
                f"CACP decides on widths alone, and {found}; use it as in nas search "
                "space=superbit compression=prune strategy=cacp"
            )

    def check_run(self, candidates: Candidates) -> None:
        """Raise ConfigError for an unknown cost, and a target below the smallest network."""
        self._episodes(candidates).check(self.targets.shares)

    def __call__(self, candidates: Candidates) -> Derived:
        """The best widths for the first target, and beside them those of every target."""
        episodes = self._episodes(candidates)
        episodes.check(self.targets.shares)
        if not episodes.allowed([0] * len(episodes.ladders)):
            raise ConfigError(unaffordable(candidates, 1))
        measure = candidates.scores(self.queries, self.batches, self.calibration)
        search = TargetSearch(episodes, self.targets.shares, self.learning, candidates.seed)
        best = search(lambda places: measure(_choices(candidates, places)))
        return self.targets.derived(
            candidates,
            {t: Served(_choices(candidates, b.places), b.score, b.kept) for t, b in best.items()},
            "CACP: best",
            f"{self.queries} episodes on held-out data",
            {"method": "conditional pruning", "queries": self.queries},
        )

    def _episodes(self, candidates: Candidates) -> WidthEpisodes:
        decisions = candidates.decisions
        ladders = [[float(share) for share in d.candidates] for d in decisions.values()]
        whole = [len(ladder) - 1 for ladder in ladders]
        full, cost = self.targets.whole(candidates), self.targets.cost
        known: dict[tuple[int, ...], float] = {}  # beginnings of episodes come again and again

        def share(places: Places) -> float:
            key = tuple(places)
            if key not in known:
                known[key] = candidates.costs(_choices(candidates, places))[cost] / full
            return known[key]

        return WidthEpisodes(
            ladders,
            share,
            _fixed(candidates, share, whole),
            lambda places: candidates.affordable(_choices(candidates, places)),
        )


def _choices(candidates: Candidates, places: Places) -> dict[str, Choice]:
    rows = zip(candidates.decisions.items(), places, strict=True)
    return candidates.complete({name: d.choice([[place]]) for (name, d), place in rows})


def _fixed(candidates: Candidates, share: Callable[[Places], float], whole: Places) -> Tensor:
    """What the agent is told of every step: (steps, 10), in the order of the released code."""
    layers, rows = candidates.width_layers(), []
    costs = candidates.costs(_choices(candidates, whole))
    weights = costs.get("params", 0.0)
    for step, name in enumerate(candidates.decisions):
        least = [*whole[:step], 0, *whole[step + 1 :]]
        found = candidates.costs(_choices(candidates, least))
        layer = layers[name]
        rows.append(
            [
                step,
                layer.kind,
                layer.outputs,
                layer.inputs,
                layer.height,
                layer.width,
                layer.stride,
                layer.kernel,
                1 - share(least),
                weights - found.get("params", 0.0),
            ]
        )
    return torch.tensor(rows, dtype=torch.float32)
