"""Projectors of many layers of equal D in one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from nas.gradients.projector import (
    basis_projected,
    basis_updated,
    leaked,
    projected,
    updated,
)


class Bank(Protocol):
    """Projectors (D, D) of ``blocks`` blocks; rows (B,) pick some of them."""

    def update(self, rows: Tensor, inputs: Tensor, alpha: float, leak: float) -> None:
        """Forget a little, then take away what the inputs (B, D, r) span."""
        ...

    def project(self, rows: Tensor, change: Tensor) -> Tensor:
        """Changes (B, out, D), each times its projector."""
        ...

    def free(self, rows: Tensor) -> Tensor:
        """Mean eigenvalue of each projector (B,): 1 where nothing was read yet."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All projectors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        ...


class Dense:
    """Projectors in full: ``blocks * D^2`` numbers."""

    def __init__(self, blocks: int, size: int, like: Tensor) -> None:
        eye = torch.eye(size, dtype=like.dtype, device=like.device)
        self.projectors = eye.repeat(blocks, 1, 1)

    def update(self, rows: Tensor, inputs: Tensor, alpha: float, leak: float) -> None:
        """By the block form."""
        found = updated(leaked(self.projectors[rows], leak), inputs, alpha)
        self.projectors.index_copy_(0, rows, found)

    def project(self, rows: Tensor, change: Tensor) -> Tensor:
        """``G P``."""
        return projected(change, self.projectors[rows])

    def free(self, rows: Tensor) -> Tensor:
        """Trace over D."""
        return self.projectors.diagonal(dim1=-2, dim2=-1)[rows].mean(-1)

    def state_dict(self) -> dict[str, Any]:
        """The tensor."""
        return {"projectors": self.projectors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.projectors.copy_(state["projectors"])


class Basis:
    """Projectors of wide layers as ``I - Q diag(s) Q^T``: ``blocks * (D + 1) * width`` numbers.

    Args:
        blocks: how many.
        size: D.
        width: columns of Q at most.
        energy: share of the squares of what was read that Q has to hold.
        like: a tensor of the device and the type.
    """

    def __init__(self, blocks: int, size: int, width: int, energy: float, like: Tensor) -> None:
        self.energy, self.size = energy, size
        self.basis = like.new_zeros(blocks, size, width)
        self.taken = like.new_zeros(blocks, width)

    def update(self, rows: Tensor, inputs: Tensor, alpha: float, leak: float) -> None:
        """By singular directions of what was read before and now."""
        taken = (1 - leak) * self.taken[rows]
        basis, taken = basis_updated(self.basis[rows], taken, inputs, alpha, self.energy)
        self.basis.index_copy_(0, rows, basis)
        self.taken.index_copy_(0, rows, taken)

    def project(self, rows: Tensor, change: Tensor) -> Tensor:
        """``G - G Q diag(s) Q^T``."""
        return basis_projected(change, self.basis[rows], self.taken[rows])

    def free(self, rows: Tensor) -> Tensor:
        """``1 - sum(s) / D``."""
        return 1 - self.taken[rows].sum(-1) / self.size

    def state_dict(self) -> dict[str, Any]:
        """Both tensors."""
        return {"basis": self.basis, "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.basis.copy_(state["basis"])
        self.taken.copy_(state["taken"])


def numbers(sizes: Sequence[tuple[int, int]], dense: int, width: int) -> int:
    """How many numbers the banks of layers (blocks, D) hold, full up to D = ``dense``."""
    return sum(b * (d * d if d <= dense else (d + 1) * min(width, d)) for b, d in sizes)
