import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.arch import Weights, from_genotype
from nas.cost_tree import CostNode
from nas.costs import KB, Macs, Parameters, Size, count_bytes, count_macs, count_parameters, rule_of
from nas.costs.count import macs_by_module
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable import MixedOp, Node
from nas.space import blueprint, decisions_of, sample
from nas.supernet import Slot, Supernet
from search_spaces.darts import DartsSpace

SHAPES = {"2-D": (3, 8, 8), "odd sizes": (2, 9, 7), "1-D": (2, 11)}


def conv(*args: int, **kwargs: int) -> nn.Conv2d:
    return nn.Conv2d(*args, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("net", "shape", "macs", "parameters"),
    [
        (conv(3, 8, 3, padding=1), (3, 6, 5), 6 * 5 * 8 * 3 * 9, 8 * 3 * 9 + 8),
        (conv(3, 8, 3, stride=2, padding=1), (3, 7, 6), 4 * 3 * 8 * 3 * 9, 8 * 3 * 9 + 8),
        (conv(6, 6, 5, padding=2, groups=6), (6, 4, 4), 16 * 6 * 25, 6 * 25 + 6),
        (conv(4, 8, 1, groups=2), (4, 3, 3), 9 * 8 * 2, 8 * 2 + 8),
        (nn.Conv2d(2, 2, (1, 7), padding=(0, 3), bias=False), (2, 5, 5), 25 * 2 * 2 * 7, 28),
        (nn.Conv1d(4, 6, 3, padding=1, bias=False), (4, 10), 10 * 6 * 4 * 3, 6 * 4 * 3),
        (nn.Conv1d(4, 4, 3, dilation=2, groups=4), (4, 10), 6 * 4 * 3, 4 * 3 + 4),
        (nn.Linear(5, 7), (5,), 35, 35 + 7),
        (nn.Linear(5, 7, bias=False), (3, 5), 3 * 35, 35),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (3, 8, 8), 0, 6),
    ],
    ids=str,
)
def test_counts_by_hand(net: nn.Module, shape: tuple[int, ...], macs: int, parameters: int) -> None:
    assert count_macs(net, shape) == macs
    assert count_parameters(net) == parameters


def test_a_layer_that_runs_twice_counts_twice() -> None:
    layer = nn.Linear(4, 4)
    assert count_macs(nn.Sequential(layer, nn.ReLU(), layer), (4,)) == 2 * 16


def small(name: str, **settings: object) -> DartsSpace:
    data = DataSpec(SHAPES[name], "classes", 5)
    arguments = {"nodes": 2, "network_channels": 4, "network_cells": 4, "cells": 3, **settings}
    return DartsSpace(data, channels=2, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHAPES)
def test_macs_are_half_the_flops_that_torch_counts(name: str) -> None:
    space = small(name)
    net = space.network(sample(space, torch.Generator().manual_seed(2))).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *SHAPES[name]))
    assert count_macs(net, SHAPES[name]) == counter.get_total_flops() / 2


@pytest.mark.parametrize("name", SHAPES)
def test_one_hot_costs_are_the_counts_of_the_built_network(name: str) -> None:
    space, generator = small(name), torch.Generator().manual_seed(3)
    plan = blueprint(space)
    macs, parameters = Macs(plan, SHAPES[name]), Parameters(plan)
    decisions = Supernet(plan).decisions
    for _ in range(4):
        genotype = sample(space, generator)
        arch = from_genotype(decisions, genotype)
        net = space.network(genotype)
        assert float(macs(arch)) == count_macs(net, SHAPES[name])
        assert float(parameters(arch)) == count_parameters(net)


def test_expected_costs_are_the_average_over_sampled_networks() -> None:
    space = small("2-D", nodes=1, operations=("none", "skip_connect", "sep_conv_3x3"))
    decisions = dict(Supernet(blueprint(space)).decisions)
    # Logits of `none` that are as good as shut: a genotype never takes it.
    arch = {
        name: Weights(torch.tensor([[0.0, 0.3, 0.7]]), (1, 2))
        for name in decisions
        if not name.endswith("inputs")
    }
    macs, params = Macs(blueprint(space), SHAPES["2-D"]), Parameters(blueprint(space))
    total = torch.zeros(2, dtype=torch.float64)
    names = sorted(arch)
    for index in range(2 ** len(names)):
        taken = [index >> place & 1 for place in range(len(names))]
        chance = torch.tensor([[0.3, 0.7][t] for t in taken]).double().prod()
        choices = {n: space.operations[1 + t] for n, t in zip(names, taken, strict=True)}
        inputs = {n: d.candidates for n, d in decisions_of(space).items() if n.endswith("inputs")}
        net = space.network({**choices, **inputs})
        counts = (count_macs(net, SHAPES["2-D"]), count_parameters(net))
        total += chance * torch.tensor(counts, dtype=torch.float64)
    torch.testing.assert_close(torch.stack([macs(arch), params(arch)]), total)


def test_every_logit_of_the_darts_space_feels_the_costs() -> None:
    space = small("2-D")
    plan = blueprint(space)
    decisions = Supernet(plan).decisions
    logits = {n: torch.zeros(1, len(d), requires_grad=True) for n, d in decisions.items()}
    felt = [n for n, d in decisions.items() if d.pick < len(d)]
    for cost in (Macs(plan, SHAPES["2-D"]), Parameters(plan)):
        arch = {n: Weights(v.softmax(-1), tuple(range(v.shape[1]))) for n, v in logits.items()}
        gradients = torch.autograd.grad(
            cost(arch), [logits[n] for n in felt], allow_unused=True, materialize_grads=True
        )
        by_name = dict(zip(felt, gradients, strict=True))
        edges = [n for n in felt if "->" in n]
        assert all(by_name[n].abs().max() > 0 for n in edges)
        # Inputs matter where edges differ: the stride of a reduction makes them differ.
        assert by_name["reduce/node3/inputs"].abs().max() > 0


def test_the_auxiliary_head_is_counted_nowhere() -> None:
    space = DartsSpace(
        DataSpec((3, 32, 32), "classes", 4), nodes=1, network_channels=4, network_cells=3
    )
    net = space.network(sample(space, torch.Generator().manual_seed(0)))
    assert isinstance(net.auxiliary, nn.Module)
    head = sum(p.numel() for p in net.auxiliary.parameters())
    assert count_parameters(net) == sum(p.numel() for p in net.parameters()) - head
    assert not set(macs_by_module(net, (3, 32, 32))) & set(net.auxiliary.modules())
    assert float(Parameters(net)({})) == count_parameters(net)
    stored = {k: v for k, v in net.state_dict().items() if not k.startswith("auxiliary.")}
    assert count_bytes(net) == sum(tensor.nbytes for tensor in stored.values())
    assert float(Size(net)({})) == pytest.approx(count_bytes(net) / KB)
    assert "auxiliary" in rule_of(Parameters)


def test_counting_leaves_modes_hooks_and_statistics_alone() -> None:
    net = nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2), nn.Dropout())
    net[1].eval()  # a frozen normalization, say
    before = {key: value.clone() for key, value in net.state_dict().items()}
    count_macs(net, (2, 5))
    assert [m.training for m in net.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())


def edge(*widths: int, soft: bool = True) -> MixedOp:
    """One linear layer per candidate, with this number of inner features."""
    decision = Decision("edge", widths, soft=soft)
    return MixedOp(
        decision,
        lambda width: nn.Sequential(nn.Linear(3, int(width)), nn.Linear(int(width), 3)),
    )


def test_the_blueprint_is_run_where_it_is() -> None:
    net = nn.Sequential(edge(4, 6), nn.Linear(3, 1)).eval()
    arch = {"edge": Weights(torch.tensor([[0.5, 0.5]]), (0, 1))}
    expected = 0.5 * (2 * 3 * 4) + 0.5 * (2 * 3 * 6) + 3
    assert float(Macs(net, (3,))(arch)) == pytest.approx(expected)
    assert float(Macs(net.to("meta"), (3,))(arch)) == pytest.approx(expected)
    assert not any(module.training for module in net.modules())


def test_the_cost_of_a_kept_edge_counts_with_its_probability() -> None:
    inputs = Decision("inputs", (0, 1), pick=1)
    net = Node([edge(2, 4), nn.Linear(3, 3)], inputs)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.node = net

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.node([x, x]))

    arch = {
        "edge": Weights(torch.tensor([[0.5, 0.5]]), (0, 1)),
        "inputs": Weights(torch.tensor([[0.9, 0.1]]), (0, 1)),
    }
    assert float(Macs(Both(), (3,))(arch)) == pytest.approx(0.9 * (12 + 24) / 2 + 0.1 * 9)


def test_a_hard_decision_has_no_expected_macs() -> None:
    with pytest.raises(SpaceError, match="decision 'edge' is hard: its cost cannot be an expec"):
        Macs(nn.Sequential(edge(2, 4, soft=False)), (3,))


def test_names_and_units() -> None:
    net = nn.Sequential(edge(2, 4))
    macs, parameters = Macs(net, (3,)), Parameters(net)
    assert (macs.name, macs.unit) == ("macs", "MAC")
    assert (parameters.name, parameters.unit) == ("params", "parameters")
    tree: CostNode = macs.tree
    assert tree.names == {"edge"}
    assert not any(p.numel() for m in net.modules() if isinstance(m, Slot) for p in m.parameters())
