"""What the thresholds of gates are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.kernels import Levels
from nas.kernels.portable.ladder import inside, rungs


@torch.no_grad()
def residuals(x: Tensor, clip: Tensor, levels: Levels) -> Tensor:
    """How much each further rung has to add: (1, rungs - 1), outside the graph.

    ``rms(u - Q_{j-1}(u)) / step_{j-1}``, about 0.29 where residuals are uniform: independent of
    size and scale. ABS (arXiv 2101.04935, eq. 9) leaves the norm open; this one is our choice.
    """
    u = inside(x, clip, levels)
    left = u - levels.offset
    found = []
    for step, rung in zip(levels.steps[:-1], rungs(u, levels), strict=False):
        left = left - rung
        found.append(left.square().mean().sqrt() / step)
    return torch.stack(found)[None]
