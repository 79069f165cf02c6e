"""Channels of layers as numbers, and which of them can only be cut together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ids = NDArray[np.int64]
Side = Literal["out", "in", "both"]


class Axis(NamedTuple):
    """The channels that a layer makes (``out``), reads (``in``), or treats one by one (``both``).

    ``module`` is None for what belongs to no layer, such as the network's input.
    """

    module: str | None
    side: Side


class Run(NamedTuple):
    """``repeat`` entries of an axis in a row, from ``start`` on."""

    axis: Axis
    start: int
    repeat: int


class Mark(NamedTuple):
    """Why channels cannot be cut, empty where they can; whether a sum runs through them."""

    fixed: str
    summed: bool


class Row(NamedTuple):
    """Channels that follow each other on every axis that they are on.

    Attributes:
        runs: where the first of them is.
        size: how many.
        fixed: why they cannot be cut; empty where they can.
        summed: whether a sum runs through them.
    """

    runs: tuple[Run, ...]
    size: int
    fixed: str
    summed: bool


class Slots:
    """A number for every entry of every axis, in the order in which axes are first met."""

    def __init__(self) -> None:
        self._ids: dict[Axis, Ids] = {}
        self._owners: list[Axis] = []  # of each block of numbers
        self._starts = [0]  # of the blocks, and the next number
        self._ties: list[tuple[Ids, Ids]] = []
        self._fixed: dict[int, str] = {}
        self._summed: set[int] = set()

    def axis(self, module: str, side: Side, size: int) -> Ids:
        """The numbers of a layer's axis: the same ones at every call of the layer."""
        axis = Axis(module, side)
        if axis not in self._ids:
            self._ids[axis] = self._new(axis, size)
        return self._ids[axis]

    def foreign(self, size: int, reason: str) -> Ids:
        """Numbers for channels of no layer, which are never cut."""
        ids = self._new(Axis(None, "out"), size)
        self.fix(ids, reason)
        return ids

    def tie(self, one: Ids, other: Ids) -> None:
        """Entry by entry, these are only cut together."""
        assert one.shape == other.shape
        self._ties.append((one, other))

    def fix(self, ids: Ids, reason: str) -> None:
        """These are never cut; the first reason stays."""
        for each in ids.tolist():
            self._fixed.setdefault(each, reason)

    def add_up(self, ids: Ids) -> None:
        """Remember that a sum runs through these."""
        self._summed.update(ids.tolist())

    def rows(self) -> Iterator[Row]:
        """All channels of layers, each once, in the order in which their layers are met."""
        units = self._units()
        marks = self._marks(units)
        unit, block, start, repeat = self._runs(units)
        if not len(unit):
            return
        heads = np.flatnonzero(np.diff(unit, prepend=-1))
        counts = np.diff(heads, append=len(unit))
        # each run against the run at its place in the unit before, if that has as many
        before = np.maximum(np.arange(len(unit)) - np.repeat(counts, counts), 0)
        same = (block == block[before]) & (repeat == repeat[before])
        same &= start == start[before] + repeat[before]
        codes = np.unique([f"{int(m.summed)}{m.fixed}" for m in marks], return_inverse=True)[1]
        code = codes[unit[heads]]
        joined = np.logical_and.reduceat(same, heads)
        joined[1:] &= (counts[1:] == counts[:-1]) & (code[1:] == code[:-1])
        joined[0] = False
        first = np.flatnonzero(~joined)
        for place, size in zip(first, np.diff(first, append=len(heads)).tolist(), strict=True):
            at = range(heads[place], heads[place] + counts[place])
            runs = tuple(Run(self._owners[block[r]], int(start[r]), int(repeat[r])) for r in at)
            yield Row(runs, size, *marks[unit[heads[place]]])

    def _units(self) -> Ids:
        """For each number the component that it is in, counted in the order of first numbers."""
        none = np.arange(0)
        one, other = (np.concatenate([none, *(tie[end] for tie in self._ties)]) for end in (0, 1))
        size = (self._starts[-1], self._starts[-1])
        graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=size)
        labels = connected_components(graph, directed=False)[1]
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        units: Ids = np.argsort(np.argsort(first))[inverse]
        return units

    def _marks(self, units: Ids) -> list[Mark]:
        """What is known of each unit."""
        reasons: dict[int, str] = {}
        for each in sorted(self._fixed):
            reasons.setdefault(int(units[each]), self._fixed[each])
        summed = {int(units[each]) for each in self._summed}
        count = int(units.max(initial=-1)) + 1
        return [Mark(reasons.get(unit, ""), unit in summed) for unit in range(count)]

    def _runs(self, units: Ids) -> tuple[Ids, Ids, Ids, Ids]:
        """Numbers in a row on one axis and in one unit: its unit, axis, first entry and length."""
        blocks = np.repeat(np.arange(len(self._owners)), np.diff(self._starts))
        owned = np.array([axis.module is not None for axis in self._owners], dtype=bool)
        slots = np.argsort(units, kind="stable")
        slots = slots[owned[blocks[slots]]]
        unit, block = units[slots], blocks[slots]
        step = (np.diff(unit, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0)
        at = np.flatnonzero(step | (np.diff(slots, prepend=-2) != 1))
        start = slots[at] - np.asarray(self._starts)[block[at]]
        return unit[at], block[at], start, np.diff(at, append=len(slots))

    def _new(self, axis: Axis, size: int) -> Ids:
        ids = np.arange(self._starts[-1], self._starts[-1] + size, dtype=np.int64)
        self._owners.append(axis)
        self._starts.append(self._starts[-1] + size)
        return ids
