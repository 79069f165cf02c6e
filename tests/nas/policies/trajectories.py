"""A controller a second time, in numpy: every sequence of draws with its probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.decision import Decision
from nas.policies import Controller

Array = NDArray[np.float64]
State = tuple[Array, Array, Array]  # input, hidden state, cell state


@dataclass(frozen=True)
class Trajectory:
    """Draws in order: (decision, group, index), the logarithms of their probabilities, entropies.

    ``entropy`` is the sum of the entropies of the distributions that were drawn from.
    """

    draws: tuple[tuple[str, int, int], ...]
    log_p: float
    entropy: float

    @property
    def kept(self) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
        """The set of indices that each row ends with, whatever their order."""
        rows: dict[tuple[str, int], list[int]] = {}
        for name, group, index in self.draws:
            rows.setdefault((name, group), []).append(index)
        return tuple((*row, tuple(sorted(found))) for row, found in rows.items())


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


class Reference:
    """What ``policy`` does, from its parameters alone."""

    def __init__(self, policy: Controller) -> None:
        self.p = {name: v.detach().double().numpy() for name, v in policy.named_parameters()}
        self.decisions: Mapping[str, Decision] = policy.decisions
        self.masks = {name: policy.mask(name).numpy() for name in policy.decisions}
        self.constant, self.temperature = policy.tanh_constant, policy.temperature
        places: dict[str, int] = {}
        self.place: dict[str, tuple[str, int]] = {}
        for name, d in self.decisions.items():
            key = f"alpha_{len(d)}" + (f"_pick{d.pick}" if d.pick > 1 else "")
            self.place[name] = key, places.get(key, 0)
            places[key] = places.get(key, 0) + d.groups
        self.turns = [
            (name, group, place)
            for name, d in self.decisions.items()
            for group in range(d.groups)
            for place in range(d.pick)
        ]

    def trajectories(self) -> Iterator[Trajectory]:
        zeros = np.zeros(self.p["start"].shape[1])
        yield from self._after((self.p["start"][0], zeros, zeros), (), 0.0, 0.0)

    def _after(
        self, state: State, draws: tuple[tuple[str, int, int], ...], log_p: float, entropy: float
    ) -> Iterator[Trajectory]:
        if len(draws) == len(self.turns):
            yield Trajectory(draws, log_p, entropy)
            return
        name, group, _ = self.turns[len(draws)]
        taken = [index for n, g, index in draws if (n, g) == (name, group)]
        hidden, cell = self._step(state)
        p = self._distribution(name, group, hidden, taken)
        spread = entropy - sum(float(q * np.log(q)) for q in p if q > 0)
        key, start = self.place[name]
        for index, share in enumerate(p):
            if share > 0:
                fed = self.p[f"embeddings.{key}"][start + group, index]
                more = (*draws, (name, group, index))
                yield from self._after((fed, hidden, cell), more, log_p + np.log(share), spread)

    def _step(self, state: State) -> tuple[Array, Array]:
        x, h, c = state
        gates = self.p["cell.weight_ih"] @ x + self.p["cell.bias_ih"]
        gates = gates + self.p["cell.weight_hh"] @ h + self.p["cell.bias_hh"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def _distribution(self, name: str, group: int, hidden: Array, taken: list[int]) -> Array:
        key, start = self.place[name]
        row = start + group
        scores = self.p[f"heads.{key}"][row] @ hidden + self.p[f"biases.{key}"][row]
        scores = scores / self.temperature
        if self.constant is not None:
            scores = self.constant * np.tanh(scores)
        open_ = self.masks[name][group].copy()
        open_[taken] = False
        weights = np.where(open_, np.exp(scores), 0.0)
        return np.asarray(weights / weights.sum())
