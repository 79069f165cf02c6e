"""The limits of a budget, and how far a genotype is beyond them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nas.decision import Genotype

CostOf = Callable[[Genotype], Mapping[str, float]]


@dataclass(frozen=True)
class Limits:
    """Maxima on the costs of genotypes.

    Attributes:
        maxima: by name of the cost, in its unit, each above 0.
        cost_of: every cost of a genotype.
    """

    maxima: Mapping[str, float]
    cost_of: CostOf

    def excess(self, choices: Genotype) -> float:
        """The largest relative excess over a limit; 0 or less where all of them hold."""
        costs = self.cost_of(choices)
        return max(costs[name] / most - 1 for name, most in self.maxima.items())

    def met(self, choices: Genotype) -> bool:
        """Whether every limit holds."""
        costs = self.cost_of(choices)
        return all(costs[name] <= most for name, most in self.maxima.items())

    def tightened(self, name: str, most: float) -> Limits:
        """These limits and one more; where there is one on this cost already, the lower holds."""
        most = min(most, self.maxima.get(name, most))
        return Limits({**self.maxima, name: most}, self.cost_of)

    @property
    def text(self) -> str:
        """The budget as typed, ``budget.macs=50000``."""
        return ", ".join(f"budget.{name}={most:.10g}" for name, most in self.maxima.items())
