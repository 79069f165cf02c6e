"""Pruning whose optimum is known: ``acc = 1 - sum c_l a_l^2`` under ``sum m_l (1 - a_l) <= t``."""

from __future__ import annotations

import torch

from nas.strategies.width_episodes import Places, WidthEpisodes


class Analytic:
    """Layers with shares m of the cost (they sum to 1) and losses c of accuracy.

    Args:
        seed: of m and c.
        layers: how many.
        rungs: shares that can be kept are 1 / rungs, 2 / rungs, ..., 1.
    """

    def __init__(self, seed: int, layers: int = 10, rungs: int = 10) -> None:
        g = torch.Generator().manual_seed(seed)
        costs = 0.5 + torch.rand(layers, generator=g, dtype=torch.float64)
        losses = 0.2 + torch.rand(layers, generator=g, dtype=torch.float64)
        self.costs, self.losses = costs / costs.sum(), losses / losses.sum()
        self.ladder = [(rung + 1) / rungs for rung in range(rungs)]
        # As many numbers as of real layers, by which these can be told apart.
        told = torch.randint(4, (layers, 8), generator=g)
        fixed = torch.cat([torch.arange(layers)[:, None], told, self.costs[:, None]], 1).float()
        self.episodes = WidthEpisodes([self.ladder] * layers, self.cost, fixed)

    def kept(self, places: Places) -> torch.Tensor:
        return torch.tensor([self.ladder[place] for place in places], dtype=torch.float64)

    def cost(self, places: Places) -> float:
        return float(self.costs @ self.kept(places))

    def accuracy(self, places: Places) -> float:
        return float(1 - self.losses @ (1 - self.kept(places)).square())

    def optimum(self, target: float) -> float:
        """By Lagrange: ``a_l = min(a_max, mu m_l / c_l)``; over all real a, so a bound."""
        low, high = 0.0, 1e6
        for _ in range(200):
            mu = (low + high) / 2
            removed = (mu * self.costs / self.losses).clamp(max=1 - self.ladder[0])
            low, high = (low, mu) if self.costs @ removed >= 1 - target else (mu, high)
        return float(1 - self.losses @ removed.square())
