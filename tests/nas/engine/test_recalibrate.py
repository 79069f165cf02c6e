"""Batch normalization set anew: against averages taken by hand."""

from __future__ import annotations

import torch
from torch import nn

from nas.batch import Batch
from nas.engine.recalibrate import recalibrate


def test_statistics_are_the_averages_over_the_batches() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    network(torch.randn(5, 3, 6, 6) * 9)  # what another company left behind
    before = {name: value.clone() for name, value in network.named_parameters()}
    batches = [Batch(torch.randn(5, 3, 6, 6) + shift, torch.zeros(5)) for shift in (0.0, 1.0, 4.0)]
    recalibrate(network, batches)
    activations = [network[0](batch.inputs) for batch in batches]
    means = torch.stack([a.mean((0, 2, 3)) for a in activations])
    variances = torch.stack([a.var((0, 2, 3)) for a in activations])
    assert torch.allclose(network[1].running_mean, means.mean(0), atol=1e-6)
    assert torch.allclose(network[1].running_var, variances.mean(0), atol=1e-6)
    assert not network.training
    assert [m.momentum for m in network if isinstance(m, nn.BatchNorm2d)] == [0.1, 0.1]
    assert all(value.equal(before[name]) for name, value in network.named_parameters())


def test_what_keeps_no_statistics_is_left_alone() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False))
    recalibrate(network, iter([Batch(torch.randn(4, 2, 3), torch.zeros(4))]))
    assert not network.training
