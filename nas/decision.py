"""The one kind of choice there is: a named decision with candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nas.errors import GenotypeError, SpaceError, nearest

Candidate = str | int | float
Choice = Candidate | tuple[Candidate, ...]
Genotype = Mapping[str, Choice]
Kind = Literal["alternatives", "nested"]


@dataclass(frozen=True)
class Decision:
    """One choice of a search space: its name, its candidates and how many of them survive.

    Attributes:
        name: equal names share one decision, e.g. ``"normal/0->2"``.
        candidates: distinct and JSON-able, in the order of the last axis of the weights.
        kind: ``alternatives`` exclude each other; a ``nested`` candidate contains the one before.
        pick: how many candidates a genotype keeps (2 input edges of a DARTS node).
        groups: independent copies under one name (the filter groups of one layer).
        soft: False where only one-hot weights make sense, because shapes depend on the choice.

    Raises:
        SpaceError: for no, repeated or other candidates, and for pick or groups out of range.
    """

    name: str
    candidates: tuple[Candidate, ...]
    kind: Kind = "alternatives"
    pick: int = 1
    groups: int = 1
    soft: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        fault = self._fault()
        if fault is not None:
            raise SpaceError(f"decision {self.name!r}: {fault}")

    def _fault(self) -> str | None:
        if not all(map(_is_candidate, self.candidates)):
            return f"candidates must be text or finite numbers, got {self.candidates}"
        if not self.candidates or len(set(self.candidates)) != len(self.candidates):
            return f"candidates must be distinct and at least one, got {self.candidates}"
        if self.kind not in ("alternatives", "nested"):
            return f"kind must be 'alternatives' or 'nested', got {self.kind!r}"
        if not 1 <= self.pick <= len(self.candidates):
            return f"pick must lie in 1..{len(self.candidates)}, got {self.pick}"
        if self.groups < 1:
            return f"groups must be at least 1, got {self.groups}"
        if self.pick > 1 and (self.groups > 1 or self.kind == "nested"):
            return "pick > 1 goes with plain alternatives only (groups 1, not nested)"
        return None

    def __len__(self) -> int:
        return len(self.candidates)

    def position(self, candidate: Candidate) -> int:
        """Index of ``candidate``; raises GenotypeError naming the known ones."""
        for index, known in enumerate(self.candidates):
            if known == candidate and isinstance(known, str) == isinstance(candidate, str):
                return index
        words = [str(c) for c in self.candidates]
        raise GenotypeError(
            f"decision {self.name!r}: unknown candidate {candidate!r}; "
            f"this space has {', '.join(words)}{nearest(str(candidate), words)}"
        )

    def positions(self, choice: Choice) -> tuple[tuple[int, ...], ...]:
        """The chosen indices, one tuple per group; raises GenotypeError for any other choice."""
        several = self.pick > 1 or self.groups > 1
        if several != isinstance(choice, tuple):
            wanted = "one candidate"
            if self.pick > 1:
                wanted = f"{self.pick} distinct candidates"
            if self.groups > 1:
                wanted = f"{self.groups} entries, one per group"
            raise GenotypeError(f"decision {self.name!r}: needs {wanted}, got {choice!r}")
        parts = choice if isinstance(choice, tuple) else (choice,)
        found = [self.position(part) for part in parts]
        if self.pick > 1:
            if len(set(found)) != self.pick or len(found) != self.pick:
                raise GenotypeError(
                    f"decision {self.name!r}: needs {self.pick} distinct candidates, got {choice!r}"
                )
            return (tuple(sorted(found)),)
        if len(found) != self.groups:
            raise GenotypeError(
                f"decision {self.name!r}: needs {self.groups} entries, one per group, "
                f"got {len(found)}"
            )
        return tuple((index,) for index in found)

    def choice(self, positions: Sequence[Sequence[int]]) -> Choice:
        """The canonical choice for indices, one sequence per group (inverse of ``positions``)."""
        if self.pick > 1:
            return tuple(self.candidates[i] for i in sorted(positions[0]))
        if self.groups > 1:
            return tuple(self.candidates[group[0]] for group in positions)
        return self.candidates[positions[0][0]]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able record of this decision."""
        return {**asdict(self), "candidates": list(self.candidates)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Decision:
        """The decision that ``to_json`` recorded."""
        return cls(**{**record, "candidates": tuple(record["candidates"])})


def _is_candidate(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def neighbors(decision: Decision, choice: Choice) -> Iterator[Choice]:
    """The choices with one candidate in the place of another one, which they do not hold yet."""
    if not isinstance(choice, tuple):
        yield from (candidate for candidate in decision.candidates if candidate != choice)
        return
    rows = decision.positions(choice)
    for group, row in enumerate(rows):
        for place in range(len(row)):
            for index in range(len(decision)):
                if index not in row:
                    changed = (*row[:place], index, *row[place + 1 :])
                    yield decision.choice([*rows[:group], changed, *rows[group + 1 :]])


def collect(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Decisions by name in order of appearance; raises SpaceError if one name means two things."""
    found: dict[str, Decision] = {}
    for decision in decisions:
        if found.setdefault(decision.name, decision) != decision:
            raise SpaceError(
                f"two different decisions share the name {decision.name!r}; "
                "give them different names, or equal candidates"
            )
    return found


def validate(decisions: Mapping[str, Decision], genotype: Genotype) -> dict[str, Choice]:
    """The genotype in canonical form.

    Raises GenotypeError for an unknown name, or a choice that does not fit its decision.
    """
    checked: dict[str, Choice] = {}
    for name, choice in genotype.items():
        if name not in decisions:
            raise GenotypeError(
                f"unknown decision {name!r}; this space has {len(decisions)}, "
                f"among them {', '.join(sorted(decisions)[:4])}{nearest(name, decisions)}"
            )
        decision = decisions[name]
        checked[name] = decision.choice(decision.positions(choice))
    return checked
