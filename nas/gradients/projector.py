"""Projectors on the complement of what layers have read (OWM; used as in arXiv 2003.13089).

With inputs A (D, n) and ``P_0 = I``, the recursion has the closed form

    ``P = I - A (A^T A + alpha I)^{-1} A^T = alpha (A A^T + alpha I)^{-1}``

whose eigenvalues lie in (0, 1]; ``alpha -> 0`` gives the projector on the orthogonal complement.
For a weight W (out, D) that multiplies inputs from the left, a change ``G P`` hardly changes what W
makes of them: ``G P A = alpha G (A A^T + alpha I)^{-1} A``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def updated(projector: Tensor, inputs: Tensor, alpha: float) -> Tensor:
    """``P - P X (alpha I + X^T P X)^{-1} X^T P``: equal to one rank-1 update per column of X.

    Where the system is not positive definite to rounding there is nothing left to take away, and a
    projector stays as it was.

    Args:
        projector: symmetric, (B, D, D).
        inputs: X, (B, D, r).
        alpha: above 0; the smaller, the more is taken away.
    """
    read = projector @ inputs
    system = inputs.mT @ read
    system = (system + system.mT) / 2
    system.diagonal(dim1=-2, dim2=-1).add_(alpha)
    factor, info = torch.linalg.cholesky_ex(system)
    half = torch.linalg.solve_triangular(factor, read.mT, upper=False)
    found = torch.baddbmm(projector, half.mT, half, alpha=-1)
    found = (found + found.mT) / 2  # float32 would lose the symmetry
    return torch.where((info == 0)[:, None, None], found, projector)


def leaked(projector: Tensor, leak: float) -> Tensor:
    """``(1 - rho) P + rho I``: what was read is forgotten by and by, (B, D, D)."""
    found = (1 - leak) * projector
    found.diagonal(dim1=-2, dim2=-1).add_(leak)
    return found


def projected(change: Tensor, projector: Tensor) -> Tensor:
    """``G P`` for changes G (B, out, D): from the right, for W is (out, D)."""
    return change @ projector


def basis_updated(
    basis: Tensor, taken: Tensor, inputs: Tensor, alpha: float, energy: float
) -> tuple[Tensor, Tensor]:
    """The update of ``P = I - Q diag(s) Q^T``, which is for wide layers.

    With all directions kept it is that of ``updated``. Of the singular directions of what was read,
    those are kept that make up ``energy`` of the squares (0.97 in gradient projection memory,
    arXiv 2103.09762), at most m.

    Args:
        basis: Q, orthonormal columns, (B, D, m).
        taken: s in [0, 1), (B, m); 0 for columns that are not in use.
        inputs: X, (B, D, r).
        alpha: as in ``updated``.
        energy: share of the squares, up to 1.

    Returns:
        Q and s anew.
    """
    strength = alpha * taken / (1 - taken).clamp_min(torch.finfo(taken.dtype).eps)
    read = torch.cat([basis * strength.sqrt().unsqueeze(-2), inputs], -1)
    directions, values, _ = torch.linalg.svd(read, full_matrices=False)
    squares = values.square()
    total = squares.sum(-1, keepdim=True)
    before = squares.cumsum(-1) - squares  # of the stronger directions
    size = basis.shape[-1]
    squares = torch.where(before < energy * total, squares, 0.0)[..., :size]
    return directions[..., :size], squares / (squares + alpha)


def basis_projected(change: Tensor, basis: Tensor, taken: Tensor) -> Tensor:
    """``G (I - Q diag(s) Q^T)`` for changes G (B, out, D)."""
    return change - ((change @ basis) * taken.unsqueeze(-2)) @ basis.mT
