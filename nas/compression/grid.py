"""Nested grids of quantization: every coarser one is part of the finer ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from nas.errors import SpaceError
from nas.kernels import Levels

GRIDS = ("midtread", "midrise")
MOST_BITS = 16
_INSIDE = 1 - 2.0**-23  # of the range, so that its ends round to a level of the grid


@dataclass(frozen=True)
class Grid:
    """Where the levels of ``b`` bits lie in units of the clipping value.

    The levels are ``offset + k * span / (2^b - 1)``, of what lies between ``low`` and ``high``.

    Attributes:
        name: ``midtread``, ``midrise`` or ``unsigned``.
        low, high: the range, in units of the clipping value.
        offset: a level of every number of bits.
        span: length of the range.
    """

    name: str
    low: float
    high: float
    offset: float
    span: float

    def step(self, bits: int) -> float:
        """The distance of two levels."""
        return self.span / ((1 << bits) - 1)

    def levels(self, bits: Sequence[int]) -> Levels:
        """Those of nested numbers of bits, rung by rung (ABS, arXiv 2101.04935, eq. 6).

        The gradient of the clipping value is divided by ``sqrt(numel * (2^b - 1))`` of the fewest
        bits (LSQ, arXiv 1902.08153, section 2.2).
        """
        return _levels(self, tuple(bits))


@cache
def _levels(grid: Grid, bits: tuple[int, ...]) -> Levels:
    steps = tuple(grid.step(each) for each in bits)
    return Levels(grid.low, grid.high, grid.offset, steps, float((1 << bits[0]) - 1))


MIDTREAD = Grid("midtread", -_INSIDE, _INSIDE, 0.0, 2.0)
"""3, 15, 255 levels with zero among them: what integers hold (arXiv 2005.07093)."""
MIDRISE = Grid("midrise", -1.0, 1.0, -1.0, 2.0)
"""4, 16, 256 levels without zero, as published (arXiv 2101.04935, eq. 4)."""
UNSIGNED = Grid("unsigned", 0.0, 1.0, 0.0, 1.0)
"""4, 16, 256 levels from zero on: activations after a ReLU."""


def grid_of(name: str) -> Grid:
    """The grid of weights by its name; raises SpaceError for another one."""
    known = {grid.name: grid for grid in (MIDTREAD, MIDRISE)}
    if name not in known:
        raise SpaceError(f"compression.grid must be one of {', '.join(GRIDS)}, got {name!r}")
    return known[name]


def check_bits(bits: Sequence[int], what: str) -> tuple[int, ...]:
    """The numbers of bits; raises SpaceError where their grids are not nested.

    Args:
        bits: increasing, from 2 to 16, each a divisor of the next.
        what: the setting, for the sentence.
    """
    found = tuple(bits)
    if not found or not all(isinstance(b, int) and not isinstance(b, bool) for b in found):
        raise SpaceError(f"{what} must be whole numbers of bits such as [2,4,8], got {bits!r}")
    for each in found:
        if not 2 <= each <= MOST_BITS:
            hint = "; filters are pruned by compression.keep" if each == 0 else ""
            raise SpaceError(f"{what} lie between 2 and {MOST_BITS}, got {each}{hint}")
    for low, high in pairwise(found):
        if high <= low:
            raise SpaceError(f"{what} must increase, got {list(found)}; sort them")
        if high % low:
            raise SpaceError(
                f"{what}: the levels of {low} bits are not among those of {high}, so that they "
                "cannot share weights; take numbers of which each divides the next, as [2,4,8]"
            )
    return found
