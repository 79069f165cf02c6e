"""One agent that learns policies for several targets at once (CACP, arXiv 2009.09724)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from nas.agents import Ddpg, PerCondition, Replay, Transitions
from nas.errors import ConfigError
from nas.strategies.targets import ROUNDING
from nas.strategies.width_episodes import Act, Episode, Places, WidthEpisodes

Score = Callable[[Places], float]


@dataclass(frozen=True)
class Learning:
    """Lengths and rates of `TargetSearch`; the defaults are those of the released code.

    Attributes:
        episodes: of all targets together, warm-up included.
        warmup: share of them in which actions are drawn uniformly and nothing is learnt.
        noise: deviation of the actions after the warm-up.
        noise_decay: factor of the deviation per round of all targets.
        actor_rate, critic_rate: learning rates of Adam.
        tau: share by which the slow copies follow per update.
        discount: of later rewards.
        replay: episodes that are remembered.
        batch: transitions per update.
        momentum: of each target's moving mean and deviation of rewards.
    """

    episodes: int = 900
    warmup: float = 1 / 9
    noise: float = 0.5
    noise_decay: float = 0.95
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    tau: float = 0.01
    discount: float = 1.0
    replay: int = 100
    batch: int = 64
    momentum: float = 0.95

    def __post_init__(self) -> None:
        shares = {"warmup": 1.0, "noise_decay": 1.0, "tau": 1.0, "discount": 1.0, "momentum": 1.0}
        for name, most in {**shares, "noise": inf, "actor_rate": inf, "critic_rate": inf}.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                upto = f" up to {most:g}" if most < inf else ", finite"
                raise ConfigError(
                    f"strategy.derivation.{name} must be a number from 0{upto}, got {value!r}"
                )
        for name in ("episodes", "replay", "batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(
                    f"strategy.derivation.{name} must be a whole number above 0, got {value!r}"
                )


@dataclass(frozen=True)
class Best:
    """The best widths found for a target.

    Attributes:
        places: on the ladders.
        score: of these.
        kept: share of the cost that they keep.
    """

    places: tuple[int, ...]
    score: float
    kept: float


class TargetSearch:
    """Episodes under rotating targets, and an agent that is told the target.

    The reward of an episode, its score, is given to every transition of it; it is compared with
    the mean and deviation of its own target's rewards (`PerCondition`) when it is learnt from.
    After each episode there is one update per step. The last episode of each target is without
    noise.

    Args:
        episodes: the environment; its state begins with the target.
        targets: shares of the cost that may be kept, in turn.
        learning: lengths and rates.
        seed: of the agent.
    """

    def __init__(
        self, episodes: WidthEpisodes, targets: Sequence[float], learning: Learning, seed: int
    ) -> None:
        self.episodes, self.targets, self.learning = episodes, tuple(targets), learning
        self.agent = Ddpg(
            episodes.features,
            learning.actor_rate,
            learning.critic_rate,
            learning.tau,
            learning.discount,
            seed,
        )
        self.replay = Replay(learning.replay * len(episodes.ladders))
        self.rewards = PerCondition(len(self.targets), learning.momentum)

    def __call__(self, score: Score) -> dict[float, Best]:
        """The best widths by target: of all that were tried and keep to it, the first of equals.

        Args:
            score: of widths; larger is better. Asked once per episode.
        """
        tried: list[Best] = []
        warmup = round(self.learning.warmup * self.learning.episodes)
        for number in range(self.learning.episodes):
            condition = number % len(self.targets)
            episode = self.episodes.run(self.targets[condition], self._act(number, warmup))
            found = score(episode.places)
            tried.append(Best(episode.places, found, self.episodes.cost(episode.places)))
            self.rewards.see(condition, found)
            self.replay.add(_transitions(episode, found, condition))
            if number >= warmup:
                self._learn(len(episode.places))
        return {target: _best(tried, target) for target in self.targets}

    def greedy(self, target: float) -> Episode:
        """An episode as the agent acts now, without noise."""
        return self.episodes.run(target, self.agent.act)

    def _act(self, number: int, warmup: int) -> Act:
        if number < warmup:
            return lambda state: self.agent.uniform()
        if number >= self.learning.episodes - len(self.targets):
            return self.agent.act
        rounds = (number - warmup) // len(self.targets)
        noise = self.learning.noise * self.learning.noise_decay**rounds
        return lambda state: self.agent.act(state, noise)

    def _learn(self, updates: int) -> None:
        for _ in range(updates):
            seen = self.replay.draw(self.learning.batch, self.agent.generator)
            self.agent.learn(seen._replace(rewards=self.rewards(seen.rewards, seen.conditions)))


def _transitions(episode: Episode, reward: float, condition: int) -> Transitions:
    count = len(episode.places)
    done = torch.zeros(count)
    done[-1] = 1.0
    return Transitions(
        episode.states,
        episode.actions,
        torch.full((count,), reward),
        torch.full((count,), condition),
        _following(episode.states),
        done,
    )


def _following(states: Tensor) -> Tensor:
    return torch.cat([states[1:], states[-1:]])


def _best(tried: Sequence[Best], target: float) -> Best:
    return max((each for each in tried if each.kept <= target + ROUNDING), key=lambda b: b.score)
