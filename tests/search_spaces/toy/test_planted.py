"""The planted optimum: the data need a 3x3 convolution, and DARTS finds it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nas.arch import Weights
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from nas.space import discretize, sample
from nas.supernet import Supernet
from search_spaces.toy import OPERATIONS, ToySpace

SPACE = ToySpace()
BEST = OPERATIONS.index("nor_conv_3x3")


def searched(seed: int, steps: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Logits after first-order DARTS, and their gradients at uniform weights halfway."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    supernet = Supernet(SPACE.supernet())
    logits = {name: torch.zeros(1, 4, requires_grad=True) for name in SPACE.decisions}
    weights = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    policy = torch.optim.Adam(logits.values(), lr=0.05, betas=(0.5, 0.999))
    first: dict[str, torch.Tensor] = {}

    def loss() -> torch.Tensor:
        batch = SPACE.batch(64, generator)
        live = tuple(range(len(OPERATIONS)))
        arch = {name: Weights(each.softmax(-1), live) for name, each in logits.items()}
        return cross_entropy(supernet(batch.inputs, arch), batch.targets)

    for step in range(steps):
        weights.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(supernet.parameters(), 5.0)
        weights.step()
        if step >= steps // 2:
            grads = torch.autograd.grad(loss(), list(logits.values()))
            first = first or dict(zip(logits, grads, strict=True))
            for each, gradient in zip(logits.values(), grads, strict=True):
                each.grad = gradient
            policy.step()
    return logits, first


def found(logits: dict[str, torch.Tensor]) -> object:
    weights = {n: Weights(each.softmax(-1).detach(), (0, 1, 2, 3)) for n, each in logits.items()}
    return discretize(SPACE, weights)


def test_the_first_architecture_step_is_toward_the_planted_operation() -> None:
    _, gradients = searched(0, 40)
    for gradient in gradients.values():
        assert float(gradient[0, BEST]) < 0
        assert int(gradient[0].argmin()) == BEST


@pytest.mark.slow
def test_darts_finds_the_planted_optimum_for_eight_of_ten_seeds() -> None:
    results = [found(searched(seed, 120)[0]) == SPACE.best for seed in range(10)]
    assert sum(results) >= 8, results


def test_one_position_says_nothing_of_the_class() -> None:
    batch = SPACE.batch(4000, torch.Generator().manual_seed(0))
    assert batch.inputs.shape == (4000, 2, 8, 8)
    assert sorted(batch.targets.unique().tolist()) == [0, 1, 2, 3]
    for kind in range(4):
        of_class = batch.inputs[batch.targets == kind]
        assert abs(float(of_class[..., 3, 4].mean())) < 0.12
        assert abs(float(of_class[..., 3, 4].square().mean()) - 1.25) < 0.12
    neighbors = (batch.inputs[:, 0, 2, 2] * batch.inputs[:, 0, 2, 3] > 0).long()
    assert float((neighbors == batch.targets % 2).float().mean()) > 0.9


def test_data_that_cannot_be_planted_are_told() -> None:
    space = ToySpace(DataSpec((1, 8, 8), "classes", 10))
    assert space.network(sample(space, torch.Generator()))(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(SpaceError, match=r"images of C channels in 2\*\*C classes"):
        space.batch(2, torch.Generator())
    with pytest.raises(SpaceError, match=r"space.channels must be at least 1, got 0"):
        ToySpace(channels=0)
