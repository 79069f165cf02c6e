"""What proxies leave behind: nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nas.batch import Batch
from nas.dataspec import DataSpec
from nas.errors import ConfigError, NasError
from nas.kernels import portable_kernels
from nas.proxies import DEFAULT, PROXIES, scores
from nas.searchable import set_execution
from search_spaces.darts import DartsSpace
from search_spaces.nasbench201 import NasBench201Space
from tests.nas.proxies.made import convolutional, images, loss

DATA = DataSpec((3, 8, 8), "classes", 4)
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|"


def state(net: nn.Module) -> dict[str, Any]:
    """All that a proxy could have changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    found: dict[str, Any] = {}
    for name, part in net.named_modules():
        found[name] = (
            part.training,
            type(part),
            [list(getattr(part, kind)) for kind in hooks],
            getattr(part, "inplace", None),
            getattr(part, "kernels", None),
            "forward" in vars(part),
        )
    for name, parameter in net.named_parameters():
        grad = None if parameter.grad is None else parameter.grad.tolist()
        kept = (id(parameter), parameter.requires_grad, grad, parameter.tolist())
        found[f"parameter {name}"] = kept
    for name, buffer in net.named_buffers():
        found[f"buffer {name}"] = (id(buffer), buffer.tolist())
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_leaves_the_network_as_it_was(name: str, training: bool) -> None:
    net, batch = convolutional(), images()
    net.train(training)
    parameters = list(net.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    net.register_forward_hook(lambda module, given, output: None)
    before, random = state(net), torch.get_rng_state()
    inputs, targets = batch.inputs.clone(), batch.targets.clone()
    scores(net, batch, loss, (name,))
    assert state(net) == before
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(batch.inputs, inputs)
    assert not batch.inputs.requires_grad
    assert torch.equal(batch.targets, targets)


def test_execution_is_kept_and_changes_no_score() -> None:
    torch.manual_seed(0)
    space = NasBench201Space(DATA, network_channels=4, network_cells=1)
    net = space.network(space.parse(CELL)).double()
    batch = Batch(torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 3]))
    plain = scores(net, batch, loss, PROXIES)
    set_execution(net, portable_kernels())
    before = state(net)
    assert scores(net, batch, loss, PROXIES) == plain
    assert state(net) == before


def test_one_call_gives_what_each_gives_alone_also_without_gradients() -> None:
    net, batch = convolutional(), images()
    with torch.no_grad():
        together = scores(net, batch, loss, PROXIES)
    assert together == {name: scores(net, batch, loss, (name,))[name] for name in PROXIES}
    assert tuple(scores(net, batch, loss)) == DEFAULT


def test_a_network_with_an_auxiliary_head_is_scored_without_it() -> None:
    torch.manual_seed(0)
    space = DartsSpace(DataSpec((3, 32, 32), "classes", 4), network_channels=4, network_cells=3)
    net = space.build(space.named()["PC_DARTS_cifar"])
    batch = Batch(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
    found = scores(net, batch, loss, PROXIES)
    assert all(torch.isfinite(torch.tensor(value)) for value in found.values())


def test_what_cannot_be_scored_is_refused() -> None:
    net, batch = convolutional(), images()
    with pytest.raises(ConfigError, match=r"unknown proxy 'synflo'; there are .*synflow"):
        scores(net, batch, loss, ("synflo",))
    with pytest.raises(ConfigError, match="proxies are empty"):
        scores(net, batch, loss, ())
    with pytest.raises(NasError, match="two samples or more"):
        scores(net, Batch(batch.inputs[:1], batch.targets[:1]), loss)
    with pytest.raises(NasError, match="two samples or more, got a list"):
        scores(net, Batch([batch.inputs], batch.targets), loss)
    with pytest.raises(NasError, match="convolution or linear layer; it has none"):
        scores(nn.ReLU(), batch, loss)
