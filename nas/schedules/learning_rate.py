"""Learning rates by epoch."""

from __future__ import annotations

import math

import torch


class CosineLearningRate:
    """``minimum + (start - minimum) (1 + cos(pi e / epochs)) / 2`` at epoch ``e`` (1608.03983).

    Args:
        optimizer: every group starts from the rate it was built with.
        epochs: length of the half wave.
        minimum: rate that epoch ``epochs`` would have.
        warmup: the first epochs, where ``start (e + 1) / warmup`` stands in place of the wave.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        minimum: float = 0.0,
        warmup: int = 0,
    ) -> None:
        self.optimizer, self.epochs, self.minimum, self.warmup = optimizer, epochs, minimum, warmup
        self.starts = [float(group["lr"]) for group in optimizer.param_groups]

    def on_epoch(self, epoch: int) -> None:
        """Set the rate of every group."""
        for group, start in zip(self.optimizer.param_groups, self.starts, strict=True):
            group["lr"] = self.rate(start, epoch)

    def rate(self, start: float, epoch: int) -> float:
        """The rate at ``epoch`` of a group that starts at ``start``."""
        if epoch < self.warmup:
            return start * (epoch + 1) / self.warmup
        wave = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.minimum + (start - self.minimum) * wave
