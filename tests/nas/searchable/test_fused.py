"""Fused nodes compute what plain ones do: outputs, losses, every gradient, every buffer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.arch import Arch, Weights, from_genotype
from nas.costs import count_macs
from nas.dataspec import DataSpec
from nas.kernels import Kernels, native_kernels, portable_kernels
from nas.searchable import MixedOp, Nodes, apply_partial_channels, set_execution
from nas.searchable.nodes import Memory
from nas.supernet import Supernet
from search_spaces.darts import DARTS_OPERATIONS, DartsSpace
from search_spaces.darts.named import named_cells
from search_spaces.nasbench201 import NasBench201Space

KERNELS = ["portable", "native"]


def kernels(name: str) -> Kernels:
    found = native_kernels() if name == "native" else portable_kernels()
    if found is None:
        pytest.skip("no C++ compiler here, so no native kernels")
    return found


@dataclass(frozen=True)
class Case:
    """A supernet, an input and an architecture, to be computed in two ways."""

    supernet: Supernet
    inputs: Tensor
    arch: Mapping[str, Weights]

    def results(
        self, used: Kernels | None, training: bool, memory: Memory = "normal"
    ) -> dict[str, Tensor]:
        supernet = copy.deepcopy(self.supernet).train(training)
        assert set_execution(supernet, used, memory) == []
        output = supernet(self.inputs, self.arch)
        loss = (
            output.square().mean()
            + output.mul(torch.linspace(-1, 1, output.numel()).view_as(output)).sum()
        )
        named = {
            **{f"logit {name}": w.values for name, w in self.arch.items()},
            **{f"weight {name}": p for name, p in supernet.named_parameters()},
        }
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        found = {"output": output, "loss": loss}
        for (name, of), gradient in zip(named.items(), gradients, strict=True):
            found[name] = torch.zeros_like(of) if gradient is None else gradient
        found |= {f"buffer {name}": b.double() for name, b in supernet.named_buffers()}
        return {key: value.detach() for key, value in found.items()}


def compare(case: Case, fused: Kernels, training: bool, tolerance: float) -> None:
    plain, other = case.results(None, training), case.results(fused, training)
    assert plain.keys() == other.keys()
    for kind in ("output", "loss", "logit", "weight", "buffer"):
        names = [name for name in plain if name.split()[0] == kind]
        scale = max(float(plain[name].abs().max()) for name in names)
        for name in names:
            worst = float((plain[name] - other[name]).abs().max())
            assert worst <= tolerance * scale, (name, worst, scale)


def random_arch(
    supernet: Supernet, dtype: torch.dtype, edge_weights: bool, fewest: int
) -> dict[str, Weights]:
    """Random weights, of a random part of the candidates."""
    arch = {}
    for name, decision in supernet.decisions.items():
        if name in supernet.optional and not edge_weights:
            continue
        n = len(decision)
        kept = n if name in supernet.optional else int(torch.randint(min(fewest, n), n + 1, ()))
        live = tuple(sorted(torch.randperm(n)[:kept].tolist()))
        mask = torch.zeros(n, dtype=torch.bool)
        mask[list(live)] = True
        values = torch.randn(1, n, dtype=dtype).masked_fill(~mask, -torch.inf).softmax(-1)
        arch[name] = Weights(values.requires_grad_(), live)
    return arch


def built(net: nn.Module, k: int, dtype: torch.dtype) -> Supernet:
    if k > 1:
        apply_partial_channels(net, k)
    supernet = Supernet(net).to(dtype)
    for module in supernet.modules():  # statistics as they are after some training
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.track_running_stats:
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return supernet


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=8)
@given(
    size=st.integers(6, 11),
    dims=st.sampled_from([1, 2, 2]),
    k=st.sampled_from([1, 2, 4]),
    nodes=st.integers(1, 3),
    operations=st.lists(st.sampled_from(DARTS_OPERATIONS), min_size=2, max_size=8, unique=True),
    edge_weights=st.booleans(),
    training=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_darts_cells_agree_in_double_precision(
    name: str,
    size: int,
    dims: int,
    k: int,
    nodes: int,
    operations: list[str],
    edge_weights: bool,
    training: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    spec = DataSpec((2, *[size] * dims), "classes", 3)
    space = DartsSpace(spec, channels=8, cells=3, nodes=nodes, operations=operations)
    supernet = built(space.supernet(), k, torch.float64)
    inputs = torch.randn(4, *spec.input_shape, dtype=torch.float64)
    case = Case(supernet, inputs, random_arch(supernet, torch.float64, edge_weights, 1))
    compare(case, kernels(name), training, 1e-10)


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=6)
@given(
    size=st.integers(5, 9),
    k=st.sampled_from([1, 2]),
    edge_weights=st.booleans(),
    training=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_nasbench201_cells_agree_in_double_precision(
    name: str, size: int, k: int, edge_weights: bool, training: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    space = NasBench201Space(DataSpec((3, size, size), "classes", 3), channels=4, cells=1)
    supernet = built(space.supernet(), k, torch.float64)
    inputs = torch.randn(5, 3, size, size, dtype=torch.float64)
    case = Case(supernet, inputs, random_arch(supernet, torch.float64, edge_weights, 1))
    compare(case, kernels(name), training, 1e-10)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [1, 4])
def test_cells_agree_in_single_precision(name: str, k: int, training: bool) -> None:
    # Large enough that the batch statistics of the last cells do not themselves magnify rounding.
    space = DartsSpace(DataSpec((3, 16, 16), "classes", 4), channels=8, cells=3, nodes=2)
    supernet = built(space.supernet(), k, torch.float32)
    inputs = torch.randn(16, 3, 16, 16)
    case = Case(supernet, inputs, random_arch(supernet, torch.float32, k > 1, 8))
    compare(case, kernels(name), training, 1e-5)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("training", [True, False])
def test_a_derived_network_agrees_too(name: str, training: bool) -> None:
    data = DataSpec((2, 9, 9), "classes", 3)
    space = DartsSpace(data, network_channels=4, network_cells=3, auxiliary=False)
    plain = space.build(named_cells("PC_DARTS_image")).double().train(training)
    fused = copy.deepcopy(plain)
    set_execution(fused, kernels(name))
    inputs = torch.randn(6, 2, 9, 9, dtype=torch.float64)
    found = []
    for network in (plain, fused):
        output = network(inputs)
        torch.autograd.backward(output.square().mean())
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        found.append([output, *gradients, *network.buffers()])
    for one, other in zip(*found, strict=True):
        scale = 1 + one.detach().double().abs().max()
        assert (one - other).detach().double().abs().max() <= 1e-10 * scale
    counted = [count_macs(network.float(), data.input_shape) for network in (plain, fused)]
    assert counted[0] == counted[1] > 0


@pytest.mark.parametrize("execution", ["plain", *KERNELS])
@pytest.mark.parametrize("memory", ["low", "lowest"])
def test_less_memory_changes_no_bit(execution: str, memory: Memory) -> None:
    space = DartsSpace(DataSpec((2, 8, 8), "classes", 3), channels=8, cells=3, nodes=2)
    supernet = built(space.supernet(), 2, torch.float32)
    used = None if execution == "plain" else kernels(execution)
    case = Case(supernet, torch.randn(4, 2, 8, 8), random_arch(supernet, torch.float32, True, 8))
    normal, less = (case.results(used, True, mode) for mode in ("normal", memory))
    for key, value in normal.items():
        assert torch.equal(value, less[key]), key


def small() -> Supernet:
    space = DartsSpace(DataSpec((1, 8, 8), "classes", 2), channels=4, cells=3, nodes=1)
    return Supernet(space.supernet())


def some_choices(supernet: Supernet) -> dict[str, Any]:
    """The last candidate of every operation, the first two inputs of every node."""
    return {
        name: tuple(d.candidates[: d.pick]) if name in supernet.optional else d.candidates[-1]
        for name, d in supernet.decisions.items()
    }


def uniform(supernet: Supernet) -> Arch:
    return {
        name: Weights(torch.full((1, len(d)), 1 / len(d)), tuple(range(len(d))))
        for name, d in supernet.decisions.items()
    }


def test_names_and_checkpoints_are_the_same_for_both() -> None:
    plain, fused = small(), small()
    set_execution(fused, portable_kernels())
    inputs = torch.randn(3, 1, 8, 8)
    fused(inputs, uniform(fused))
    assert list(plain.state_dict()) == list(fused.state_dict())
    plain.load_state_dict(fused.state_dict())
    fused.load_state_dict(plain.state_dict())


def test_a_sampled_architecture_runs_what_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = small()
    set_execution(supernet, portable_kernels())
    called: list[str] = []
    monkeypatch.setattr(
        "nas.searchable.nodes.Fusion.__call__", lambda *args: called.append("fused")
    )
    one = {
        name: Weights(nn.functional.one_hot(torch.tensor([0]), len(d)).float(), (0,))
        for name, d in supernet.decisions.items()
    }
    supernet(torch.randn(2, 1, 8, 8), one)
    assert called == []


@pytest.mark.parametrize("name", KERNELS)
def test_a_sampled_architecture_on_a_part_of_the_channels_agrees(name: str) -> None:
    """Its operations run one by one, on slices of a tensor, which are not dense."""
    torch.manual_seed(0)
    spec = DataSpec((3, 8, 8), "classes", 4)
    net = DartsSpace(data=spec, channels=4, cells=3, nodes=2).supernet()
    supernet = built(net, 2, torch.float64)
    arch = random_arch(supernet, torch.float64, False, 1)
    for place, (key, decision) in enumerate(arch.items()):
        chosen = place % len(DARTS_OPERATIONS)
        values = torch.zeros_like(decision.values)
        values[0, chosen] = 1.0
        arch[key] = Weights(values.requires_grad_(), (chosen,))
    case = Case(supernet, torch.randn(4, 3, 8, 8, dtype=torch.float64), arch)
    compare(case, kernels(name), training=True, tolerance=1e-10)


def test_a_copy_of_a_fused_supernet_runs_plain_and_a_frozen_one_too() -> None:
    supernet = small()
    set_execution(supernet, portable_kernels())
    copied = copy.deepcopy(supernet)
    inputs = torch.randn(3, 1, 8, 8)
    one = from_genotype(supernet.decisions, some_choices(supernet))
    frozen = supernet.freeze(one)
    for module in (copied, frozen):
        assert all(part.kernels is None for part in module.modules() if isinstance(part, Nodes))
    assert torch.allclose(frozen.eval()(inputs), supernet.eval()(inputs, one), atol=1e-6)


def test_nodes_that_cannot_be_fused_say_why() -> None:
    supernet = small()
    part = next(part for part in supernet.modules() if isinstance(part, MixedOp))
    handle = part.register_forward_hook(lambda *args: None)
    (reason,) = set_execution(supernet, portable_kernels())
    assert "hooks" in reason
    handle.remove()
    assert set_execution(supernet, portable_kernels()) == []


class Doubled(nn.Module):
    """An operation that fused execution does not know."""

    def forward(self, x: Tensor) -> Tensor:
        """Twice ``x``."""
        return 2 * x


def test_an_unknown_operation_runs_plain_inside_fused_nodes() -> None:
    supernet = small().double()
    for part in supernet.modules():
        if isinstance(part, MixedOp):
            part.ops["skip_connect"] = nn.Sequential(part.ops["skip_connect"], Doubled())
    inputs = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    case = Case(supernet, inputs, random_arch(supernet, torch.float64, True, 8))
    compare(case, portable_kernels(), True, 1e-10)


@pytest.mark.parametrize("name", ["darts", "pc_darts", "nasbench201"])
@pytest.mark.parametrize("used", [None, portable_kernels()], ids=["plain", "fused"])
def test_a_layout_with_channels_last_changes_rounding_alone(
    name: str, used: Kernels | None
) -> None:
    """In double precision, which torch's CPU library with its wrong gradients does not serve."""
    torch.manual_seed(0)
    spec = DataSpec((3, 8, 8), "classes", 4)
    darts = DartsSpace(data=spec, channels=4, cells=3, nodes=1)
    space = NasBench201Space(data=spec, channels=4, cells=1) if name == "nasbench201" else darts
    supernet = built(space.supernet(), 2 if name == "pc_darts" else 1, torch.float64)
    inputs = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    arch = random_arch(supernet, torch.float64, True, 3)
    wanted = Case(supernet, inputs, arch).results(None, training=True)
    supernet = copy.deepcopy(supernet).to(memory_format=torch.channels_last)
    last = inputs.contiguous(memory_format=torch.channels_last)
    found = Case(supernet, last, arch).results(used, training=True)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-8, atol=1e-10)
