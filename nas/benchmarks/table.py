"""A table: architectures of one space as rows of small numbers, and what was measured of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.errors import QueryError, TableError
from nas.decision import Choice, Decision, Genotype, validate

Codes = NDArray[np.uint8]
Values = NDArray[np.float64]
INACTIVE = 255
"""The code of a decision that an architecture does not take (the operation of a dropped edge)."""


@dataclass(frozen=True, order=True)
class Column:
    """What one column of a table holds; an empty text or None means that it does not apply.

    Attributes:
        metric: such as ``accuracy`` (percent), ``latency_ms``, ``parameters``, ``macs``.
        dataset: that the network was trained or measured on, or the device of a latency.
        split: ``validation`` or ``test``.
        epochs: of the training.
        seed: of the training; None where the source gives a mean over its seeds.
    """

    metric: str
    dataset: str = ""
    split: str = ""
    epochs: int | None = None
    seed: int | None = None

    @property
    def text(self) -> str:
        """The column in words, as it can be asked for."""
        named = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return " ".join(f"{name}={value}" for name, value in named if value not in ("", None))


@dataclass(frozen=True)
class SpaceRecord:
    """The space that a table is of: its name, its settings, its decisions in order."""

    name: str
    decisions: tuple[Decision, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, Decision]:
        """The decisions by name."""
        return {decision.name: decision for decision in self.decisions}

    @cached_property
    def options(self) -> tuple[tuple[Choice, ...], ...]:
        """What can be chosen in each decision; the place in here is the code."""
        return tuple(_options(decision) for decision in self.decisions)

    @cached_property
    def code_of(self) -> tuple[dict[Choice, int], ...]:
        """The code of each choice, by decision."""
        return tuple({choice: code for code, choice in enumerate(row)} for row in self.options)

    @property
    def size(self) -> int:
        """The number of rows of codes, were every decision active."""
        return math.prod(map(len, self.options))

    def encode(self, choices: Genotype) -> tuple[int, ...]:
        """The codes (decisions,) of a genotype; GenotypeError for one outside the space."""
        try:
            return tuple(
                codes[choices[decision.name]] if decision.name in choices else INACTIVE
                for decision, codes in zip(self.decisions, self.code_of, strict=True)
            )
        except (KeyError, TypeError):
            return self.encode(validate(self.by_name, choices))

    def decode(self, codes: Sequence[int]) -> dict[str, Choice]:
        """The genotype of a row of codes."""
        rows = zip(self.decisions, self.options, codes, strict=True)
        return {each.name: options[code] for each, options, code in rows if code != INACTIVE}


def _options(decision: Decision) -> tuple[Choice, ...]:
    if decision.groups > 1:
        raise TableError(f"decision {decision.name!r} has groups, which no table of ours can hold")
    kept = combinations(range(len(decision)), decision.pick)
    found = tuple(decision.choice([row]) for row in kept)
    if len(found) > INACTIVE:
        raise TableError(f"decision {decision.name!r} has {len(found)} choices; at most {INACTIVE}")
    return found


@dataclass(frozen=True, eq=False)
class Table:
    """Architectures of one space and their measured values.

    Attributes:
        name: of the benchmark.
        space: whose architectures they are.
        codes: (architectures, decisions) uint8, the place of each choice among its options.
        columns: what is known; no two are equal.
        values: (columns, architectures); NaN where an architecture was not measured.
        seconds: (architectures,) of training per epoch, where known: the simulated cost.
        notes: what to know of it, in sentences.

    Raises:
        TableError: shapes that do not fit, codes outside the space, architectures or columns that
            occur twice.
    """

    name: str
    space: SpaceRecord
    codes: Codes
    columns: tuple[Column, ...]
    values: Values
    seconds: Values | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows, width = self.codes.shape
        fault = ""
        if width != len(self.space.decisions):
            fault = f"{width} codes for {len(self.space.decisions)} decisions"
        elif self.values.shape != (len(self.columns), rows):
            fault = f"values of shape {self.values.shape} for {len(self.columns)} columns"
        elif self.seconds is not None and self.seconds.shape != (rows,):
            fault = f"{self.seconds.shape[0]} costs for {rows} architectures"
        elif len(set(self.columns)) != len(self.columns):
            fault = "a column twice (equal metric, data set, split, epochs and seed)"
        else:
            most = np.array([len(options) for options in self.space.options])
            if ((self.codes >= most) & (self.codes != INACTIVE)).any():
                fault = "a code outside its decision"
            elif len(self._keys) and len(np.unique(self._keys)) != rows:
                fault = "an architecture twice"
        if fault:
            raise TableError(f"table {self.name} is damaged: it has {fault}")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def complete(self) -> bool:
        """Whether every architecture of the space is in it."""
        return len(self) == self.space.size

    @cached_property
    def _keys(self) -> NDArray[np.void]:
        return _keys(self.codes)

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {key.tobytes(): row for row, key in enumerate(self._keys)}

    def row(self, choices: Genotype) -> int:
        """The row of an architecture.

        Raises GenotypeError for one outside the space, QueryError for one that was not measured.
        """
        codes = self.space.encode(choices)
        found = self._rows.get(bytes(codes))
        if found is None:
            raise QueryError(
                f"table {self.name} does not hold this architecture: it has {len(self)} of "
                f"{self.space.size:.3g} of space {self.space.name!r}"
            )
        return found

    def genotype(self, row: int) -> dict[str, Choice]:
        """The choices of the architecture in a row."""
        return self.space.decode([int(code) for code in self.codes[row]])

    def metrics(self) -> tuple[str, ...]:
        """The metrics that it has, in order."""
        return tuple(dict.fromkeys(column.metric for column in self.columns))


def _keys(codes: Codes) -> NDArray[np.void]:
    rows = np.ascontiguousarray(codes)
    found: NDArray[np.void] = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]
    return found
