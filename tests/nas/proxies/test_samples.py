"""Proxies by samples, paths and sizes against loops and values by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from nas.batch import Batch
from nas.errors import NasError
from nas.proxies import scores
from tests.nas.proxies.made import CLASSES, SAMPLES, convolutional, images, loss


class Functional(nn.Module):
    """ReLU as a function, once after each of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.two(relu(self.one(x))))


def test_naswot_is_the_determinant_of_the_hamming_kernel() -> None:
    torch.manual_seed(0)
    net = Functional().double()
    inputs = torch.randn(SAMPLES, 4, dtype=torch.float64)
    hidden = net.one(inputs)
    codes = torch.cat([hidden > 0, net.two(relu(hidden)) > 0], 1).tolist()
    kernel = np.zeros((SAMPLES, SAMPLES))
    for i, j in itertools.product(range(SAMPLES), repeat=2):
        distance = sum(a != b for a, b in zip(codes[i], codes[j], strict=True))
        kernel[i, j] = len(codes[0]) - distance
    wanted = math.log(abs(np.linalg.det(kernel)))
    found = scores(net, Batch(inputs, torch.zeros(SAMPLES).long()), loss, ("naswot",))
    assert found["naswot"] == pytest.approx(wanted, rel=1e-9)


def test_naswot_of_equal_samples_is_the_worst() -> None:
    batch = Batch(torch.ones(3, 4, dtype=torch.float64), torch.zeros(3).long())
    assert scores(Functional().double(), batch, loss, ("naswot",))["naswot"] == -math.inf


def test_naswot_without_relu_is_refused() -> None:
    with pytest.raises(NasError, match="naswot needs a network with ReLU"):
        scores(nn.Linear(2, 3), Batch(torch.randn(4, 2), torch.zeros(4).long()), loss, ("naswot",))


def jacobian() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """By central differences in evaluation of all but the normalization."""
    net, batch = convolutional(), images()
    net.eval()[1].train()  # type: ignore[index]
    flat = batch.inputs.flatten(1)
    found = np.zeros(flat.shape)
    with torch.no_grad():
        for n, k in itertools.product(range(flat.shape[0]), range(flat.shape[1])):
            ends = []
            for step in (1e-6, -1e-6):
                moved = flat.clone()
                moved[n, k] += step
                ends.append(float(net(moved.view_as(batch.inputs)).sum()))
            found[n, k] = (ends[0] - ends[1]) / 2e-6
    return found


def test_jacov_and_epe_nas_by_finite_differences() -> None:
    batch, rows = images(), jacobian()
    values = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    found = scores(convolutional(), batch, loss, ("jacov", "epe_nas"))
    assert found["jacov"] == pytest.approx(-float(np.sum(np.log(values) + 1 / values)), rel=1e-3)
    wanted = 0.0
    for number in set(batch.targets.tolist()):
        inside = [row for row, target in zip(rows, batch.targets, strict=True) if target == number]
        pairs = itertools.product(inside, repeat=2)
        wanted += abs(sum(math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a, b in pairs))
    assert found["epe_nas"] == pytest.approx(wanted, rel=1e-3)


def test_jacov_without_a_path_is_the_worst() -> None:
    net = nn.Linear(2, 3)
    net.weight.data.zero_()
    batch = Batch(torch.randn(4, 2), torch.tensor([0, 0, 1, 2]))
    found = scores(net, batch, loss, ("jacov", "epe_nas"))
    assert set(found.values()) == {-math.inf}


def test_epe_nas_needs_classes() -> None:
    batch = Batch(torch.randn(4, 2), torch.randn(4, 3))
    with pytest.raises(NasError, match=r"epe_nas needs targets that are classes"):
        scores(nn.Linear(2, 3), batch, lambda output, target: output.sum(), ("epe_nas",))


def test_synflow_is_the_sum_over_paths() -> None:
    torch.manual_seed(0)
    widths = (3, 4, 2)
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2, bias=False)
    )
    first, second = net[0].weight.tolist(), net[3].weight.tolist()
    paths = 0.0
    for i, j, k in itertools.product(*map(range, widths)):
        paths += abs(first[j][i] * second[k][j])
    found = scores(net, Batch(torch.randn(4, 3), None), loss, ("synflow",))
    assert found["synflow"] == pytest.approx(2 * paths, rel=1e-6)


def test_sizes_by_hand() -> None:
    found = scores(convolutional(), images(), loss, ("params", "flops", "l2_norm"))
    assert found["params"] == 4 * 2 * 9 + 2 * 4 + 3 * 4 + 3 + 3 * CLASSES + CLASSES
    assert found["flops"] == (4 * 2 * 9 + 3 * 4) * 16 + 3 * CLASSES
    net = convolutional()
    norms = [float(p.detach().pow(2).sum()) ** 0.5 for p in net.parameters() if p.dim() > 1]
    assert found["l2_norm"] == pytest.approx(sum(norms))
