"""Gradient proxies against values by hand and against finite differences of the loss alone."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.proxies import scores
from tests.nas.proxies.made import convolutional, images, loss, weights_of

STEP = 1e-5


def total(output: Tensor, target: Tensor) -> Tensor:
    return output.sum() / len(output)


def test_a_linear_layer_by_hand() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    net.weight.data = torch.tensor([[2.0, -3.0]], dtype=torch.float64)
    batch = Batch(torch.tensor([[1.0, 1.0], [3.0, 5.0]], dtype=torch.float64), None)
    found = scores(net, batch, total, ("snip", "plain", "grad_norm", "fisher", "grasp"))
    # dL/dw = mean of inputs = (2, 3); outputs -1 and -9, dL/da = 1/2
    assert found["snip"] == pytest.approx(2 * 2 + 3 * 3)
    assert found["plain"] == pytest.approx(2 * 2 - 3 * 3)
    assert found["grad_norm"] == pytest.approx(13**0.5)
    assert found["fisher"] == pytest.approx((0.5**2 + 4.5**2) / 2 / 2)
    assert found["grasp"] == 0  # the loss has no curvature


def test_grasp_of_a_quadratic_loss_by_hand() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    net.weight.data = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    inputs = torch.eye(2, dtype=torch.float64)
    found = scores(net, Batch(inputs, None), lambda output, _: output.pow(2).sum(), ("grasp",))
    assert found["grasp"] == pytest.approx(-(1 * 4 * 1 + 2 * 4 * 2))  # H = 2, g = 2w, -w 2 2w


def in_training(net: nn.Module) -> nn.Module:
    copy = deepcopy(net).eval()
    for part in copy.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train()
    return copy


def gradient(net: nn.Module, batch: Batch) -> list[Tensor]:
    """By central differences, one weight at a time."""
    found = []
    with torch.no_grad():
        for weight in weights_of(net):
            flat, grad = weight.view(-1), torch.zeros(weight.numel(), dtype=torch.float64)
            for k in range(len(flat)):
                kept = float(flat[k])
                ends = []
                for sign in (1, -1):
                    flat[k] = kept + sign * STEP
                    ends.append(float(loss(net(batch.inputs), batch.targets)))
                flat[k] = kept
                grad[k] = (ends[0] - ends[1]) / (2 * STEP)
            found.append(grad.view_as(weight))
    return found


def test_first_order_by_finite_differences() -> None:
    net, batch = convolutional(), images()
    found = scores(net, batch, loss, ("snip", "plain", "grad_norm"))
    weights = [weight.detach() for weight in weights_of(net)]
    pairs = list(zip(weights, gradient(in_training(net), batch), strict=True))
    assert found["snip"] == pytest.approx(sum(float((w * g).abs().sum()) for w, g in pairs))
    assert found["plain"] == pytest.approx(sum(float((w * g).sum()) for w, g in pairs), abs=1e-8)
    assert found["grad_norm"] == pytest.approx(sum(float(g.norm()) for _, g in pairs))


def test_grasp_by_finite_differences_of_the_gradient() -> None:
    net, batch = convolutional(), images()
    copy = in_training(net)

    def exact() -> list[Tensor]:
        value = loss(copy(batch.inputs), batch.targets)
        return list(torch.autograd.grad(value, weights_of(copy)))

    first = exact()
    start = [weight.detach().clone() for weight in weights_of(copy)]
    ends = []
    for sign in (1, -1):
        for weight, origin, direction in zip(weights_of(copy), start, first, strict=True):
            weight.data = origin + sign * STEP * direction
        ends.append(exact())
    products = [(a - b) / (2 * STEP) for a, b in zip(*ends, strict=True)]
    wanted = -sum(float((w * h).sum()) for w, h in zip(start, products, strict=True))
    assert scores(net, batch, loss, ("grasp",))["grasp"] == pytest.approx(wanted, rel=1e-6)


def test_fisher_by_a_loop() -> None:
    net, batch = convolutional(), images()
    wanted, copy = 0.0, in_training(net)
    assert isinstance(copy, nn.Sequential)
    copy[2] = nn.ReLU()
    for place, layer in enumerate(copy):
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        output = copy[: place + 1](batch.inputs).detach().requires_grad_(True)
        value = loss(copy[place + 1 :](output), batch.targets)
        (slope,) = torch.autograd.grad(value, output)
        for channel in range(output.shape[1]):
            for a, g in zip(output.detach()[:, channel], slope[:, channel], strict=True):
                wanted += float((a * g).sum()) ** 2 / (2 * len(output))
    assert scores(net, batch, loss, ("fisher",))["fisher"] == pytest.approx(wanted)


def test_a_layer_off_every_path_counts_nothing() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.used(x)
            return y

    net = Unused().double()
    batch = Batch(torch.randn(4, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0]))
    names = ("snip", "plain", "grad_norm", "grasp", "fisher", "synflow")
    assert scores(net, batch, loss, names) == scores(net.used, batch, loss, names)
