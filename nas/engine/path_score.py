"""What a path of a supernet is worth with the weights that it inherits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.arch import from_genotype
from nas.batch import Batch
from nas.compression.quantizer import Quantizer
from nas.decision import Genotype
from nas.engine.evaluate import means
from nas.supernet import Supernet
from nas.tasks import Task


class PathScore:
    """Loss and metrics of single paths on fixed batches; the supernet is left as it is.

    A path is cut out of the supernet as a copy. Its batch-norm statistics, which the supernet has
    gathered over all paths, are computed anew (SPOS, arXiv 1904.00420, section 3.4): plain means
    over the statistics of ``calibration``.

    Args:
        supernet: trained.
        task: of loss and metrics.
        held_out: batches to measure on, without augmentation.
        calibration: training batches; without any, each batch is normalized by itself.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        held_out: Sequence[Batch],
        calibration: Sequence[Batch] = (),
    ) -> None:
        self.supernet, self.task = supernet, task
        self.held_out, self.calibration = held_out, calibration

    def __call__(self, choices: Genotype) -> dict[str, float]:
        """Loss, metrics and count of a genotype's path, means over the held-out samples."""
        network = path_of(self.supernet, choices, self.calibration)
        with torch.inference_mode():
            return means(network, self.held_out, self.task)


def path_of(supernet: Supernet, choices: Genotype, calibration: Sequence[Batch] = ()) -> nn.Module:
    """A copy of a genotype's path in eval mode, its batch-norm statistics those of the batches.

    The first batch also calibrates quantizers of tensors that the supernet did not have (between
    the factors of a layer of low rank). Without batches the path normalizes by the statistics of
    what it is given, whatever mode it is in.
    """
    network = supernet.freeze(from_genotype(supernet.decisions, choices)).eval()
    for part in network.modules():
        if isinstance(part, Quantizer) and part.waiting:  # what the supernet did not have
            part.train()  # until the first batch
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        if calibration:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        else:
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = None
    with torch.no_grad():
        for batch in calibration:
            network(batch.inputs)
    return network.eval() if calibration else network
