"""Which inputs are seen: those of steps of the weights, under kernels too, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.gradients.layers import layers_of
from nas.gradients.observer import Observer, Seen
from nas.kernels import Kernels, portable_kernels
from nas.policies import FreeLogits, Uniform
from nas.relaxations import Softmax
from nas.searchable import set_execution
from nas.searchable.nodes import Memory
from nas.space import decisions_of
from nas.supernet import Supernet
from search_spaces.darts import DartsSpace

SPACE = DartsSpace(DataSpec((3, 8, 8), "classes", 4), channels=4, cells=3, nodes=2)


def darts(kernels: Kernels | None, memory: Memory = "normal") -> Supernet:
    torch.manual_seed(0)
    net = SPACE.supernet()
    set_execution(net, kernels, memory)
    return Supernet(net).double()


def observer(supernet: Supernet, rank: int = 3) -> Observer:
    return Observer(supernet, layers_of(supernet), rank, torch.Generator().manual_seed(5))


def paths(supernet: Supernet, count: int) -> list[Any]:
    policy = Uniform(supernet.decisions, seed=2, kept=decisions_of(SPACE))
    return [policy.double()().arch for _ in range(count)]


def soft(supernet: Supernet) -> dict[str, Any]:
    found = FreeLogits(supernet.decisions, Softmax(), init_std=1.0, seed=1).double()
    return dict(found().detach().arch)


def step(
    supernet: Supernet, watched: Observer, arch: Mapping[str, Any]
) -> tuple[dict[str, Seen], list[str]]:
    """What is seen of a forward and a backward, and which layers have gradients."""
    supernet.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64)
    with watched.watching():
        supernet(x, arch).square().sum().backward()
        live = [layer for layer in layers_of(supernet) if layer.weight.grad is not None]
        return watched.seen(live), [layer.name for layer in live]


VARIANTS: list[tuple[str, Memory]] = [
    ("portable", "normal"),
    ("plain", "low"),
]


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize(("name", "memory"), VARIANTS)
def test_every_execution_shows_what_plain_modules_read(
    name: str, memory: Memory, mixture: bool
) -> None:
    # What native kernels read is told by the same lines as of portable ones.
    nets = darts(None), darts(portable_kernels() if name == "portable" else None, memory)
    first, second = (observer(net) for net in nets)
    for arch in [soft(nets[0])] if mixture else paths(nets[0], 2):
        one, live = step(nets[0], first, arch)
        other, same = step(nets[1], second, arch)
        assert live == same
        assert len(live) > 10
        for layer in live:
            assert len(one[layer].columns) == len(other[layer].columns) == 1
            torch.testing.assert_close(one[layer].inputs, other[layer].inputs)
            if not mixture:
                assert one[layer].behind == other[layer].behind


def test_the_same_choices_before_a_layer_give_the_same_number_and_others_do_not() -> None:
    supernet = darts(None)
    watched = observer(supernet)
    arch, another = paths(supernet, 2)
    one, other = (step(supernet, watched, arch)[0] for _ in range(2))
    assert {n: s.behind for n, s in one.items()} == {n: s.behind for n, s in other.items()}
    third, _ = step(supernet, watched, another)
    stem = [name for name in one if "stem" in name]
    assert stem
    assert all(third[name].behind == one[name].behind for name in stem)
    head = [name for name in one if isinstance(supernet.get_submodule(name), nn.Linear)]
    assert head
    assert all(third[name].behind != one[name].behind for name in head)


def test_mixtures_are_never_the_same_twice() -> None:
    for kernels in (None, portable_kernels()):
        supernet = darts(kernels)
        watched, arch = observer(supernet), soft(supernet)
        one, other = (step(supernet, watched, arch)[0] for _ in range(2))
        behind = [name for name in one if ".ops." in name and "cells.2" in name]
        assert behind
        assert all(one[name].behind != other[name].behind for name in behind)


def test_forwards_without_a_backward_to_the_weights_leave_nothing() -> None:
    supernet = darts(None)
    watched = observer(supernet)
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    archs = paths(supernet, 2)
    supernet.zero_grad(set_to_none=True)
    with watched.watching():
        with torch.no_grad():
            supernet(x, archs[1])
        weights = list(supernet.parameters())
        loss = supernet(x, archs[1]).square().sum()
        torch.autograd.grad(loss, weights, allow_unused=True)  # as a second-order step does
        lent = {name: p.detach().clone() for name, p in supernet.named_parameters()}
        torch.func.functional_call(supernet, lent, (x, archs[1]))
        supernet(x, archs[0]).square().sum().backward()
        live = [layer for layer in layers_of(supernet) if layer.weight.grad is not None]
        found = watched.seen(live)
    assert {len(seen.columns) for seen in found.values()} == {1}
    supernet.zero_grad(set_to_none=True)
    with watched.watching():  # the gradients of two paths, added up
        for arch in archs:
            supernet(x, arch).square().sum().backward()
        live = [layer for layer in layers_of(supernet) if layer.weight.grad is not None]
        found = watched.seen(live)
    assert {seen.inputs.shape[-1] for seen in found.values()} == {3, 6}
    assert not supernet._forward_hooks
    assert not supernet._forward_pre_hooks


class Borrows(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight)


def test_a_layer_that_learns_unseen_is_an_error_and_not_silently_left_out() -> None:
    supernet = Supernet(Borrows())
    watched = observer(supernet)
    with watched.watching():
        supernet(torch.randn(4, 3), {}).sum().backward()
        with pytest.raises(NasError, match=r"net\.layer learns, but what it reads was not seen"):
            watched.seen(layers_of(supernet))
