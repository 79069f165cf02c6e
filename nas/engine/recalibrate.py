"""Statistics of batch normalization for weights that were trained in another company."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from nas.batch import Batch

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def recalibrate(network: nn.Module, batches: Iterable[Batch]) -> None:
    """Set running means and variances to their averages over ``batches``; weights stay.

    A path cut out of a supernet sees other activations than the statistics that the supernet
    gathered over all paths (SPOS, arXiv 1904.00420, section 3.4). The network is in eval mode
    afterwards.
    """
    norms = [m for m in network.modules() if isinstance(m, _NORMS) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches
    network.train()
    try:
        with torch.no_grad():
            for batch in batches if norms else ():
                network(batch.inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
