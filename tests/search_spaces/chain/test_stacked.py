"""A stack of networks against the networks one by one, and its training against theirs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from nas.space import sample
from search_spaces.chain import ChainSpace, Network, StackedNetwork

SPACE = ChainSpace(DataSpec((1, 8, 8), "classes", 10), network_channels=4)


@pytest.fixture
def made() -> tuple[StackedNetwork, list[Network]]:
    generator = torch.Generator().manual_seed(3)
    genotypes = [sample(SPACE, generator) for _ in range(6)]
    genotypes += [genotypes[0], dict.fromkeys(SPACE.decisions, "skip_connect")]
    networks = [SPACE.network(genotype).double() for genotype in genotypes]
    return StackedNetwork(genotypes, networks).double(), networks


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(
        net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    for i in range(3):
        part = slice(8 * i, 8 * i + 8)
        outputs = net(x[part])
        outputs = outputs if outputs.dim() == 3 else outputs[None]
        loss = sum(F.cross_entropy(each, y[part]) for each in outputs)
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_training_all_at_once_is_training_each_alone(
    made: tuple[StackedNetwork, list[Network]],
) -> None:
    stack, networks = made
    x = torch.randn(24, 1, 8, 8, dtype=torch.float64)
    y = torch.randint(10, (24,))
    before = stack(x).detach()
    torch.testing.assert_close(before, torch.stack([net(x) for net in networks]))
    for net in (stack, *networks):
        train(net, x, y)
        net.eval()
    alone = torch.stack([net(x) for net in networks])
    torch.testing.assert_close(stack(x), alone, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(stack(x), before)


def test_a_stack_needs_a_genotype_for_each_network() -> None:
    with pytest.raises(SpaceError, match="got 0 and 0"):
        StackedNetwork([], [])
