"""Parameters and multiply-adds of all cells at once, by formula (arXiv 2001.00326)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.nasbench201.cells import OPERATIONS
from search_spaces.nasbench201.network import STAGES

Counts = NDArray[np.int64]
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


def parameters(
    codes: NDArray[np.uint8], outputs: int, channels: int = 16, cells: int = 5, inputs: int = 3
) -> Counts:
    """(architectures,) learnable numbers of the networks of cells.

    An operation of kernel k on C channels has ``k^2 C^2 + 2 C`` (convolution, normalization); stem,
    reductions, last normalization and classifier are the same for all.

    Args:
        codes: (architectures, 6), the place of each edge's operation in ``OPERATIONS``.
        outputs: of the classifier.
        channels: C of the first stage, doubled at each reduction.
        cells: of each stage.
        inputs: channels of the images.
    """
    widths = [channels * 2**stage for stage in range(STAGES)]
    fixed = 9 * inputs * channels + 2 * channels + 2 * widths[-1] + (widths[-1] + 1) * outputs
    for c in widths[:-1]:
        fixed += 9 * c * 2 * c + 2 * 2 * c + 9 * 4 * c * c + 2 * 2 * c + 2 * c * c
    each = _operations([(c, 1) for c in widths], norm=2)
    found: Counts = fixed + cells * each[codes].sum(1)
    return found


def multiply_adds(
    codes: NDArray[np.uint8],
    outputs: int,
    size: Sequence[int] = (32, 32),
    channels: int = 16,
    cells: int = 5,
    inputs: int = 3,
) -> Counts:
    """(architectures,) multiply-adds of one image through convolutions and classifier.

    An operation of kernel k on C channels and P positions costs ``k^2 C^2 P``; a reduction halves
    height and width, rounding up. The published tables count the classifier's bias as well: add
    ``outputs`` to compare.

    Args:
        codes: (architectures, 6), as of `parameters`.
        outputs: of the classifier.
        size: height and width of the images.
        channels: of the first stage.
        cells: of each stage.
        inputs: channels of the images.
    """
    widths = [channels * 2**stage for stage in range(STAGES)]
    height, width = size
    positions = [-(-height // 2**stage) * -(-width // 2**stage) for stage in range(STAGES)]
    fixed = 9 * inputs * channels * positions[0] + widths[-1] * outputs
    for c, p in zip(widths[:-1], positions[1:], strict=True):
        fixed += (9 * c * 2 * c + 9 * 4 * c * c + 2 * c * c) * p
    each = _operations(list(zip(widths, positions, strict=True)), norm=0)
    found: Counts = fixed + cells * each[codes].sum(1)
    return found


def _operations(stages: Sequence[tuple[int, int]], norm: int) -> Counts:
    """The cost of each operation summed over one cell of every stage (channels, positions)."""
    costs = []
    for name in OPERATIONS:
        kernel = _KERNELS.get(name)
        terms = [(kernel**2 * c * c * p + norm * c) if kernel else 0 for c, p in stages]
        costs.append(sum(terms))
    return np.array(costs, dtype=np.int64)
