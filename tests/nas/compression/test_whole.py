"""Bits, channels and ranks in one supernet: costs of what is built, values, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nas.arch import Weights, from_genotype
from nas.batch import Batch
from nas.compression import Compressed, Compression
from nas.compression.forms import Factorized
from nas.compression.quantizer import Quantizer
from nas.compression.ranked import RankedConv1d, RankedConv2d
from nas.costs import (
    KB,
    BitOps,
    Macs,
    Parameters,
    Size,
    TreeCost,
    count_bitops,
    count_bytes,
    count_macs,
    count_parameters,
)
from nas.dataspec import DataSpec
from nas.decision import Genotype
from nas.engine.path_score import path_of
from nas.errors import SpaceError
from nas.policies import ThresholdGates
from nas.space import SearchSpace, blueprint, check_genotype, decisions_of, sample
from nas.supernet import Supernet, frozen
from search_spaces.darts import DartsSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.superbit import BackboneSpace

SHAPE = (3, 16, 16)
DATA = DataSpec(SHAPE, "classes", 4)
RANKS, WIDTHS, BITS = (0.3, 0.7), (0.5, 1.0), (2, 8)
WHOLE = Compression(BITS, BITS, widths=WIDTHS, ranks=RANKS)
FP32 = Compression(None, None, ends=None, widths=WIDTHS, ranks=RANKS)
SMALL = {"channels": 12, "cells": 3, "network_channels": 12, "network_cells": 3}
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "superbit": lambda: BackboneSpace(DATA, "resnet20", {"channels": 12}),
    "nasbench201": lambda: NasBench201Space(DATA, 12, 1, network_channels=12, network_cells=1),
    "darts": lambda: DartsSpace(DATA, nodes=2, **SMALL),
}


def rules(name: str, bits: bool) -> Compression:
    numbers = (BITS, BITS) if bits else (None, None)
    ends = 8 if bits else None
    return Compression(
        *numbers, ends=ends, widths=WIDTHS, ranks=RANKS, pointwise=name == "darts", form="channel"
    )


def exact(cost: TreeCost, net: nn.Module, genotype: Genotype) -> float:
    known = Supernet(net).decisions
    return float(cost(from_genotype(known, {n: c for n, c in genotype.items() if n in known})))


@pytest.mark.parametrize(
    "name", [pytest.param("darts", marks=pytest.mark.slow), "nasbench201", "superbit"]
)
def test_costs_are_those_of_what_is_built(name: str) -> None:
    space = Compressed(SPACES[name](), rules(name, bits=True))
    plan = blueprint(space)
    costs = [Parameters(plan), Macs(plan, SHAPE), BitOps(plan, SHAPE), Size(plan)]
    generator = torch.Generator().manual_seed(0)
    pairs = 0
    for _ in range(4):
        genotype = check_genotype(space, sample(space, generator))
        net = space.network(genotype)
        built = [
            count_parameters(net),
            count_macs(net, SHAPE),
            count_bitops(net, SHAPE),
            count_bytes(net) / KB,
        ]
        found = [exact(cost, plan, genotype) for cost in costs]
        assert found == pytest.approx(built, rel=1e-5, abs=2e-3)  # codes fill whole bytes
        pairs += sum(isinstance(part, Factorized) for part in net.modules())
        assert net(torch.zeros(2, *SHAPE)).shape == (2, 4)
    assert pairs > 0
    kinds = {n.rpartition("/")[2] for n in decisions_of(space)}
    inner = set() if name == "nasbench201" else {"width"}  # its operations have no inner channels
    assert {"weight_bits", "activation_bits", "rank"} | inner <= kinds


@pytest.mark.parametrize("name", SPACES)
def test_without_bits_the_network_computes_what_the_supernet_does(name: str) -> None:
    torch.manual_seed(0)
    space = Compressed(SPACES[name](), rules(name, bits=False))
    net = Supernet(space.supernet()).double().eval()
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        genotype = sample(space, generator)
        full = {**sample_all(space, generator), **genotype}
        arch = from_genotype(net.decisions, {n: c for n, c in full.items() if n in net.decisions})
        wanted = net(x, arch)
        net.bind(arch)
        small = space.settled(frozen(net.net))
        assert count_parameters(small) < count_parameters(net.net)
        torch.testing.assert_close(small(x), wanted, atol=1e-9, rtol=1e-7)


def sample_all(space: SearchSpace, generator: torch.Generator) -> dict[str, object]:
    """A choice for every decision, those of dropped edges included."""
    return {
        name: decision.choice(
            [
                torch.randperm(len(decision), generator=generator)[: decision.pick].tolist()
                for _ in range(decision.groups)
            ]
        )
        for name, decision in decisions_of(space).items()
    }


def test_a_dense_layer_in_bits_computes_what_the_supernet_does() -> None:
    torch.manual_seed(0)
    space = Compressed(SPACES["superbit"](), WHOLE)
    net = Supernet(space.supernet())
    x = torch.randn(4, *SHAPE)
    wide = {"rank": "full", "width": 1.0}
    genotype = {
        name: wide.get(name.rpartition("/")[2], decision.candidates[0])
        for name, decision in decisions_of(space).items()
    }
    arch = from_genotype(net.decisions, genotype)
    net.train()(x, arch)  # calibrates
    wanted = net.eval()(x, arch)
    net.bind(arch)
    made = space.settled(frozen(net.net)).eval()
    torch.testing.assert_close(made(x), wanted)


def test_factors_have_the_chosen_bits_and_the_first_one_the_inputs_clip() -> None:
    space = Compressed(SPACES["superbit"](), WHOLE)
    net = Supernet(space.supernet())
    pick = {"rank": 0.3, "width": 1.0, "weight_bits": 2, "activation_bits": 8}
    genotype = {name: pick[name.rpartition("/")[2]] for name in decisions_of(space)}
    arch = from_genotype(net.decisions, genotype)
    net.train()(torch.randn(4, *SHAPE), arch)
    name, layer = next(
        (n, m) for n, m in net.net.named_modules() if isinstance(m, RankedConv1d | RankedConv2d)
    )
    net.bind(arch)
    pair = frozen(net.net).get_submodule(name)
    assert isinstance(pair, Factorized)
    for part in (pair.first, pair.second):
        weights, inputs = part.weight_quantizer, part.input_quantizer
        assert isinstance(weights, Quantizer)
        assert isinstance(inputs, Quantizer)
        assert (weights.bits, inputs.bits) == ((2,), (8,))
        assert not weights.waiting
        reached = (part.weight / weights.scale).square().mean().sqrt()
        assert float(reached.detach()) == pytest.approx(1 / 3)  # it reaches to three deviations
    before = layer.input_quantizer
    assert isinstance(before, Quantizer)
    torch.testing.assert_close(pair.first.input_quantizer.clip, before.clip)
    assert pair.second.input_quantizer.waiting


def test_a_path_is_scored_with_quantizers_that_have_seen_data() -> None:
    torch.manual_seed(0)
    space = Compressed(SPACES["superbit"](), WHOLE)
    net = Supernet(space.supernet())
    pick = {"rank": 0.7, "width": 1.0, "weight_bits": 8, "activation_bits": 8}
    genotype = {name: pick[name.rpartition("/")[2]] for name in decisions_of(space)}
    x = torch.randn(8, *SHAPE)
    net.train()(x, from_genotype(net.decisions, genotype))
    batch = Batch(x, torch.zeros(8, dtype=torch.long))
    path = path_of(net, genotype, [batch])
    assert not any(m.waiting for m in path.modules() if isinstance(m, Quantizer))
    alone = path_of(net, genotype)  # without batches the first one that it sees does it
    alone(x)
    assert not any(m.waiting for m in alone.modules() if isinstance(m, Quantizer))
    # Eight bits are nearly exact, so it computes nearly what the supernet does on these statistics.
    wanted = net(x, from_genotype(net.decisions, genotype)).detach()
    found = path.train()(x).detach()
    assert float((found - wanted).norm() / wanted.norm()) < 0.1


def test_thresholds_go_with_all_of_it() -> None:
    torch.manual_seed(0)
    space = Compressed(SPACES["superbit"](), WHOLE)
    net = Supernet(space.supernet()).train()
    policy = ThresholdGates(net.decisions)
    x = torch.randn(4, *SHAPE)
    torch.autograd.backward(net(x, policy().arch).square().sum())
    learnt = [p.grad for p in policy.parameters()]
    assert all(g is not None and bool((g != 0).any()) for g in learnt)
    name = next(n for n in net.decisions if n.endswith("/rank"))
    with torch.no_grad():
        policy.threshold(name).fill_(2.0)  # no share of a norm exceeds it
        net(x, policy().arch)
    weights = policy.probabilities()[name]
    assert isinstance(weights, Weights)
    assert int(weights.row.argmax()) == 0


def test_every_decision_has_a_gradient() -> None:
    torch.manual_seed(0)
    space = Compressed(SPACES["superbit"](), WHOLE)
    net = Supernet(space.supernet()).train()
    logits = {
        name: torch.zeros(d.groups, len(d), requires_grad=True) for name, d in net.decisions.items()
    }
    arch = {n: Weights(v.softmax(-1), tuple(range(v.shape[1]))) for n, v in logits.items()}
    torch.autograd.backward(net(torch.randn(4, *SHAPE), arch).square().sum())
    assert all(v.grad is not None and bool((v.grad != 0).any()) for v in logits.values())


def test_what_is_refused() -> None:
    with pytest.raises(SpaceError, match="form=decouple has as many groups as outputs"):
        Compression(widths=WIDTHS, ranks=RANKS, form="decouple")
    with pytest.raises(SpaceError, match=r"form and compression.pointwise belong to"):
        Compression(pointwise=True)
    with pytest.raises(SpaceError, match=r"decides on nothing; set .* or compression.ranks"):
        Compression(None, None)
    narrow = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 1}), WHOLE)
    with pytest.raises(SpaceError, match="so narrow that no rank is below"):
        blueprint(narrow)
