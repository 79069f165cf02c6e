"""A tensor whose batch normalization is still to be applied."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nas.kernels.normalization import Normalization


@dataclass(frozen=True)
class Term:
    """One term of a mixture: the normalized ``z``, or ``z`` itself, on some of the edges.

    Attributes:
        z: (N, C, ...) if ``shared`` by its edges, else (N, len(edges) * C, ...), edge-major.
        norm: without weight and bias; None for a plain term. Mean and rstd of a shared term may
            also be (len(edges) * C,), constants that differ by edge.
        edges: positions of the edges that have this term.
        shared: whether every edge reads the same ``z``.
    """

    z: Tensor
    norm: Normalization | None
    edges: tuple[int, ...]
    shared: bool

    def moments(self) -> tuple[Tensor | None, Tensor | None]:
        """Mean and rstd of the normalization."""
        return (None, None) if self.norm is None else (self.norm.mean, self.norm.rstd)

    @property
    def through(self) -> bool:
        """Whether the gradient of ``z`` passes through mean and rstd."""
        return self.norm is not None and self.norm.through
