"""A tensor whose batch normalization is still to be applied."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One term of a mixture: ``(z - mean) * rstd``, or ``z`` itself, on some of the edges.

    Attributes:
        z: (N, C, ...) if ``shared`` by its edges, else (N, len(edges) * C, ...), edge-major.
        mean: of the normalization, one number per channel of ``z``; None for a plain term. Those
            of a shared term may also be (len(edges) * C,), constants that differ by edge.
        rstd: one over the standard deviation, of the same shape as ``mean``.
        through: whether mean and rstd are statistics of ``z`` itself, so that gradients pass
            through them; otherwise they are constants.
        edges: positions of the edges that have this term.
        shared: whether every edge reads the same ``z``.
    """

    z: Tensor
    mean: Tensor | None
    rstd: Tensor | None
    through: bool
    edges: tuple[int, ...]
    shared: bool

    def moments(self) -> tuple[Tensor | None, Tensor | None]:
        """``mean`` and ``rstd``."""
        return self.mean, self.rstd
