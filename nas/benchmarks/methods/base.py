"""What every search method offers, and the list of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from nas.benchmarks.errors import QueryError
from nas.decision import Choice, Decision
from nas.errors import nearest

Decisions = Mapping[str, Decision]


@dataclass(frozen=True)
class Trial:
    """An architecture to be scored; ``epochs`` is None where the score's own are meant."""

    choices: Mapping[str, Choice]
    epochs: int | None = None


class SearchMethod(Protocol):
    """A search by scores alone, larger being better; it may drive a table or a supernet.

    ``propose`` and ``observe`` take turns. A method owns its generator, so that it is a function
    of its decisions, its seed and the scores.
    """

    def propose(self) -> Trial:
        """The next architecture to score."""
        ...

    def observe(self, trial: Trial, score: float) -> None:
        """Take in the score of the trial that was proposed last."""
        ...


Make = Callable[[Decisions, np.random.Generator, Sequence[int]], SearchMethod]
METHODS = {
    "random": "RandomSearch",
    "evolution": "RegularizedEvolution",
    "local_search": "LocalSearch",
    "successive_halving": "SuccessiveHalving",
    "reinforce": "Reinforce",
}
"""Name -> class, in the module of that name."""


def make(name: str, decisions: Decisions, seed: int, rungs: Sequence[int] = ()) -> SearchMethod:
    """The search method of a name with its published settings.

    Args:
        name: one of ``METHODS``.
        decisions: of the space, by name.
        seed: with the name the source of all its randomness.
        rungs: the training lengths (epochs) that can be scored, in order.

    Raises:
        QueryError: there is no such method, or it needs more than one training length.
    """
    if name not in METHODS:
        raise QueryError(
            f"unknown strategy {name!r}; there are {', '.join(METHODS)}{nearest(name, METHODS)}"
        )
    found = getattr(import_module(f"nas.benchmarks.methods.{name}"), METHODS[name])
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return cast(Make, found)(decisions, generator, rungs)


def draw(decisions: Decisions, generator: np.random.Generator) -> dict[str, Choice]:
    """An architecture drawn uniformly, decision by decision."""
    return {name: _any(decision, generator) for name, decision in decisions.items()}


def _any(decision: Decision, generator: np.random.Generator) -> Choice:
    if decision.pick == 1 and decision.groups == 1:
        return decision.candidates[int(generator.integers(len(decision.candidates)))]
    rows = [
        generator.permutation(len(decision))[: decision.pick].tolist()
        for _ in range(decision.groups)
    ]
    return decision.choice(rows)


def mutate(
    choices: Mapping[str, Choice], decisions: Decisions, generator: np.random.Generator
) -> dict[str, Choice]:
    """The same architecture with another choice in one decision that has several."""
    open_names = [name for name, decision in decisions.items() if len(decision) > decision.pick]
    name = open_names[int(generator.integers(len(open_names)))]
    changed = choices[name]
    while changed == choices[name]:
        changed = _any(decisions[name], generator)
    return {**choices, name: changed}
