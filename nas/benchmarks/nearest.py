"""Proposals to a sample of a space, answered by the sample's nearest architecture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.table import INACTIVE, Table
from nas.decision import Genotype


class Nearest:
    """Finds the row that differs from a proposal in the fewest decisions that the row takes.

    A proposal that the table holds is its own nearest. Of equally near rows one is drawn, so that
    no row is preferred for its place in the file.

    Args:
        table: some architectures of its space.
        known: (architectures,) those that may answer.
        generator: of the draws.
    """

    def __init__(
        self, table: Table, known: NDArray[np.bool_], generator: np.random.Generator
    ) -> None:
        self.table, self.generator = table, generator
        self.open = known.copy()  # may answer a proposal that they are not equal to
        self._known, self._taken = known, table.codes != INACTIVE

    def row(self, choices: Genotype) -> int | None:
        """The nearest row: an equal one, else one that was not given before; None if none is left.

        Raises GenotypeError for a choice outside the space.
        """
        codes = np.array(self.table.space.encode(choices), dtype=np.uint8)
        apart = ((self.table.codes != codes) & self._taken).sum(1)
        equal = np.flatnonzero((apart == 0) & self._known)
        if len(equal):
            return self._give(int(equal[0]))
        left = np.flatnonzero(self.open)
        if not len(left):
            return None
        nearest = left[apart[left] == apart[left].min()]
        return self._give(int(self.generator.choice(nearest)))

    def _give(self, row: int) -> int:
        self.open[row] = False
        return row
