"""Ranks as decisions: layers, costs on any space, gradients, networks that are really small."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights, from_genotype
from nas.compression import Compressed, Compression, LowRank, Rules, break_even, factorized
from nas.compression.forms import FORMS, Factorized
from nas.compression.ranked import FULL, RankedConv1d, RankedConv2d, rank_of, ranked
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
from nas.costs.units import units
from nas.dataspec import DataSpec
from nas.decision import Decision, Genotype
from nas.errors import SpaceError
from nas.instantiate import conforming
from nas.kernels import portable_kernels
from nas.searchable import set_execution
from nas.space import (
    SearchSpace,
    blueprint,
    check_genotype,
    decisions_of,
    discretize,
    enumerate_genotypes,
    sample,
    size,
)
from nas.supernet import Supernet
from search_spaces.chain import ChainSpace
from search_spaces.darts import DartsSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.superbit import BackboneSpace

SHARES = (0.25, 0.5, 0.75)
RANKS = Decision("layer/rank", (*SHARES, FULL), "nested")
SHAPE = (2, 8, 8)
DATA = DataSpec(SHAPE, "classes", 4)


def backbone() -> SearchSpace:
    return BackboneSpace(DATA, "resnet20", {"channels": 8})


def cells() -> SearchSpace:
    return NasBench201Space(DATA, 4, 1, network_channels=8, network_cells=2)


def edges() -> SearchSpace:
    some = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
    return DartsSpace(DATA, 4, 3, nodes=1, operations=some, network_channels=4, network_cells=3)


SPACES: Mapping[str, Callable[[], Compressed]] = {
    "backbone": lambda: Compressed(backbone(), LowRank()),
    "backbone, spatial": lambda: Compressed(backbone(), LowRank(form="spatial")),
    "backbone, decouple": lambda: Compressed(backbone(), LowRank((0.4, 0.8), "decouple", True)),
    "nasbench201": lambda: Compressed(cells(), LowRank()),
    "nasbench201, pointwise": lambda: Compressed(cells(), LowRank(form="spatial", pointwise=True)),
    "darts": lambda: Compressed(edges(), LowRank(pointwise=True)),
    "chain": lambda: Compressed(ChainSpace(DATA, 4, 6), LowRank()),
    "mobile": lambda: Compressed(
        MobileSpace(DATA, 4, 6, depths=(1, 1, 1), last_channels=8), LowRank(pointwise=True)
    ),
}
COUNTED = [name for name in SPACES if name != "nasbench201"]


# the layer


def layer(stride: int = 1) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(8, 12, 3, stride, 1).double()


def bound(made: Any, values: list[float] | None) -> Any:
    given = None
    if values is not None:
        live = tuple(i for i, value in enumerate(values) if value)
        given = Weights(torch.tensor([values], dtype=torch.float64), live)
    made.factors.slot.bind(given)
    return made


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS)
def test_a_rank_computes_what_the_two_layers_of_that_rank_do(form: str) -> None:
    dense, x = layer(2 if form == "channel" else 1), noise(2, 8, 7, 7)
    made = ranked(dense, form, RANKS)
    for index, share in enumerate(SHARES):
        rank = rank_of(dense, form, share)
        assert rank <= 0.8 * break_even(dense, form)
        one_hot = [float(i == index) for i in range(4)]
        found = bound(made, one_hot)(x)
        torch.testing.assert_close(found, factorized(dense, form, rank)(x))
        frozen = made.freeze()
        assert isinstance(frozen, Factorized)
        assert frozen.first.weight.numel() + frozen.second.weight.numel() == sum(
            p.numel() for p in factorized(dense, form, rank).parameters() if p.dim() > 1
        )
        torch.testing.assert_close(frozen(x), found)


@pytest.mark.parametrize("given", [[0.0, 0.0, 0.0, 1.0], None], ids=["full", "unbound"])
def test_full_and_unbound_are_the_layer_itself(given: list[float] | None) -> None:
    dense, x = layer(), noise(2, 8, 7, 7)
    made = bound(ranked(dense, "channel", RANKS), given)
    torch.testing.assert_close(made(x), dense(x))
    frozen = made.freeze()
    assert type(frozen) is nn.Conv2d
    torch.testing.assert_close(frozen.weight, dense.weight)
    torch.testing.assert_close(frozen(x), dense(x))


@pytest.mark.parametrize("form", FORMS)
def test_soft_weights_mix_the_candidates_in_one_convolution(form: str) -> None:
    """It is linear in the weight: ``sum_i w_i f_i(x)``, as of four separate layers."""
    dense, x = layer(), noise(2, 8, 7, 7)
    weights = [0.1, 0.4, 0.3, 0.2]
    parts = [factorized(dense, form, rank_of(dense, form, share)) for share in SHARES]
    wanted = sum(w * part(x) for w, part in zip(weights, [*parts, dense], strict=True))
    torch.testing.assert_close(bound(ranked(dense, form, RANKS), weights)(x), wanted)


def test_one_dimensional_convolutions_have_ranks_as_well() -> None:
    torch.manual_seed(0)
    dense = nn.Conv1d(8, 12, 5, 2, 2).double()
    made, x = ranked(dense, "channel", RANKS), noise(2, 8, 11)
    assert isinstance(made, RankedConv1d)
    found = bound(made, [0.0, 1.0, 0.0, 0.0])(x)
    rank = rank_of(dense, "channel", 0.5)
    torch.testing.assert_close(found, factorized(dense, "channel", rank)(x))
    torch.testing.assert_close(made.freeze()(x), found)


def test_it_holds_factors_and_the_bias_and_nothing_else() -> None:
    dense = layer()
    made = ranked(dense, "channel", RANKS)
    assert isinstance(made, RankedConv2d)
    shapes = {name: tuple(p.shape) for name, p in made.named_parameters()}
    assert shapes == {"bias": (12,), "factors.left": (12, 12), "factors.right": (12, 72)}
    assert made.bias is dense.bias
    assert set(made.state_dict()) == set(shapes)
    sizes = made.factors.left.norm(dim=0) * made.factors.right.norm(dim=1)
    assert bool((sizes.diff() <= 1e-12).all())  # in the order of singular values
    again = copy.deepcopy(bound(made, [0.0, 0.0, 0.0, 1.0])).float()
    assert again.factors.slot.bound is False
    assert again.freeze().weight.dtype == torch.float32


def test_a_share_gives_at_least_rank_one_and_is_rounded_down() -> None:
    assert rank_of(nn.Conv2d(16, 16, 3), "channel", 0.25) == math.floor(0.25 * 14.4)
    assert rank_of(nn.Conv2d(2, 2, 3), "channel", 0.25) == 1


def test_evidence_is_what_each_rank_adds() -> None:
    dense = layer()
    made = ranked(dense, "channel", RANKS)
    seen: list[Tensor] = []

    def resolved(evidence: Tensor) -> Weights:
        seen.append(evidence)
        return Weights(torch.tensor([[0.0, 0.0, 1.0, 0.0]]), (2,))

    made.factors.slot.bind(resolved)
    found = made(noise(2, 8, 7, 7))
    squares = torch.linalg.svdvals(dense.weight.detach().flatten(1)).square()
    low, middle, high = (rank_of(dense, "channel", share) for share in SHARES)
    wanted = [squares[low:middle].sum(), squares[middle:high].sum(), squares[high:].sum()]
    torch.testing.assert_close(seen[0], (torch.stack(wanted) / squares.sum()).sqrt()[None])
    torch.testing.assert_close(found, factorized(dense, "channel", high)(noise(2, 8, 7, 7)))


# spaces


def costs_of(space: SearchSpace) -> tuple[dict[str, Decision], list[TreeCost]]:
    net = blueprint(space)
    costs = [BitOps(net, SHAPE), Macs(net, SHAPE), Parameters(net), Size(net)]
    return dict(Supernet(net).decisions), costs


def counted(net: nn.Module) -> list[float]:
    return [
        count_bitops(net, SHAPE),
        count_macs(net, SHAPE),
        count_parameters(net),
        count_bytes(net) / KB,
    ]


def exact(cost: TreeCost, known: Mapping[str, Decision], choices: Genotype) -> float:
    chosen = {
        name: tuple(i for row in known[name].positions(choice) for i in row)
        for name, choice in choices.items()
        if name in known
    }
    return cost.exact(chosen)


@pytest.mark.parametrize("name", COUNTED)
def test_costs_are_those_of_the_networks_built(name: str) -> None:
    space = SPACES[name]()
    assert any(each.endswith("/rank") for each in decisions_of(space))
    known, costs = costs_of(space)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        choices = check_genotype(space, sample(space, generator))
        built = counted(space.network(choices).eval())
        assert [exact(cost, known, choices) for cost in costs] == pytest.approx(built, rel=1e-12)
        one_hot = from_genotype(known, choices)
        assert [float(cost(one_hot)) for cost in costs] == pytest.approx(built, rel=1e-6)


@pytest.mark.parametrize("name", ["backbone", "nasbench201", "darts"])
def test_every_rank_learns_from_the_loss_and_from_the_cost(name: str) -> None:
    space = SPACES[name]()
    supernet = Supernet(space.supernet())
    _, (_, macs, *_) = costs_of(space)
    leaves = {
        n: torch.full((d.groups, len(d)), 1 / len(d)).requires_grad_()
        for n, d in supernet.decisions.items()
    }
    arch = {n: Weights(leaf, tuple(range(leaf.shape[1]))) for n, leaf in leaves.items()}
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    loss = supernet(x, arch).square().mean()
    ranks = [leaf for n, leaf in leaves.items() if n.endswith("/rank")]
    assert len(ranks) == sum(n.endswith("/rank") for n in decisions_of(space))
    of_loss = torch.autograd.grad(loss, ranks)
    of_cost = torch.autograd.grad(macs(arch), ranks)
    assert all(float(g.abs().sum()) > 0 for g in (*of_loss, *of_cost))


@pytest.mark.parametrize("name", ["backbone", "nasbench201", "darts"])
def test_the_supernet_under_a_genotype_is_its_frozen_network(name: str) -> None:
    space = SPACES[name]()
    supernet = Supernet(space.supernet())
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, *SHAPE, generator=generator)
    choices = sample(space, generator)
    arch = from_genotype(supernet.decisions, choices)
    supernet.train()(x, arch)
    supernet.eval()
    frozen = supernet.freeze(arch)
    torch.testing.assert_close(frozen(x), supernet(x, arch), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, RankedConv1d | RankedConv2d) for m in frozen.modules())


def test_fused_execution_gives_the_same() -> None:
    space = SPACES["darts"]()
    torch.manual_seed(0)
    plain = Supernet(space.supernet()).eval()
    fused = copy.deepcopy(plain)
    set_execution(fused, portable_kernels())
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    arch = {
        n: Weights(torch.full((d.groups, len(d)), 1 / len(d)), tuple(range(len(d))))
        for n, d in plain.decisions.items()
    }
    torch.testing.assert_close(fused(x, arch), plain(x, arch), rtol=1e-4, atol=1e-5)


def test_the_layers_of_the_network_have_the_ranks_chosen() -> None:
    space = SPACES["backbone"]()
    choices = sample(space, torch.Generator().manual_seed(1))
    network = space.network(choices)
    assert len(choices) == 18  # of the 19 convolutions of 3x3: the first one stays dense
    for name, share in choices.items():
        made = network.get_submodule(name.removesuffix("/rank").replace("/", "."))
        if share == FULL:
            assert type(made) is nn.Conv2d
        else:
            assert isinstance(made, Factorized)
            dense = nn.Conv2d(made.first.weight.shape[1], made.second.weight.shape[0], 3)
            wanted = rank_of(dense, "channel", float(share))  # type: ignore[arg-type]
            assert made.first.weight.shape[0] == wanted
    assert {type(m) for m in network.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}


def test_only_kernels_above_one_qualify_unless_pointwise_is_set() -> None:
    three = {n for n in decisions_of(SPACES["nasbench201"]()) if n.endswith("/rank")}
    assert {n.split("/")[-2] for n in three if n.startswith("cell")} == {"nor_conv_3x3"}
    all_ = {n for n in decisions_of(SPACES["nasbench201, pointwise"]()) if n.endswith("/rank")}
    extra = {n.split("/")[-2] for n in all_ - three if n.startswith("cell")}
    assert extra == {"nor_conv_1x1"}


def test_size_and_derivation_know_the_ranks() -> None:
    base = ChainSpace(DATA, 2, 4)
    space = Compressed(base, LowRank((0.5,)))
    assert size(space) == len(enumerate_genotypes(space, 10**6)) > size(base)
    supernet = Supernet(space.supernet())
    choices = sample(space, torch.Generator().manual_seed(5))
    arch = {
        name: Weights(torch.full((d.groups, len(d)), 1 / len(d)), tuple(range(len(d))))
        for name, d in supernet.decisions.items()
    }
    chosen = from_genotype(supernet.decisions, choices)
    arch |= {name: Weights(0.9 * w.values + 0.01, w.live) for name, w in chosen.items()}
    assert discretize(space, arch) == choices


def test_every_rank_is_a_unit_that_can_be_timed() -> None:
    space = SPACES["nasbench201"]()
    found = units(blueprint(space), SHAPE)
    assert len({unit.key for unit in found}) == len(found)
    timed = {unit.decision for unit in found if unit.decision.endswith("/rank")}
    assert timed == {name for name in decisions_of(space) if name.endswith("/rank")}


# what is refused


def test_it_keeps_the_contract_of_compression() -> None:
    for rules in (LowRank(), Compression()):
        assert conforming(rules, Rules, "rules") is rules


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LowRank(), Compression()),
        (LowRank(), Compression(None, None, widths=(0.5, 1.0))),
        (Compression(), LowRank()),
        (Compression((4,), None), LowRank()),
        (Compression(None, None, widths=(0.5, 1.0)), LowRank()),
        (LowRank(), LowRank(form="spatial")),
    ],
    ids=["bits on ranks", "widths on ranks", "ranks on bits", "fixed", "ranks on widths", "twice"],
)
def test_one_compression_around_another_is_refused(first: Rules, second: Rules) -> None:
    space = Compressed(Compressed(backbone(), first), second)
    with pytest.raises(SpaceError, match="is compressed already; set compression=none"):
        decisions_of(space)
    with pytest.raises(SpaceError, match="is compressed already; set compression=none"):
        second.apply(Compressed(backbone(), first).supernet(), SHAPE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ranks": ()}, r"compression\.ranks are shares .* got \[\]"),
        ({"ranks": (0.5, 0.25)}, "that rise between 0 and 0.8"),
        ({"ranks": (0.5, 0.9)}, "above which two layers save too little"),
        ({"ranks": (0.0, 0.5)}, "that rise between 0 and 0.8"),
        ({"ranks": (float("nan"),)}, "that rise between 0 and 0.8"),
        ({"form": "chanel"}, "no form 'chanel'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        LowRank(**settings)


def test_a_space_without_such_layers_is_refused() -> None:
    base = DartsSpace(DATA, 4, 3, nodes=2)
    with pytest.raises(SpaceError, match=r"kernel above 1x1; set compression\.pointwise=true"):
        decisions_of(Compressed(base, LowRank()))


def test_layers_too_narrow_for_any_rank_are_refused() -> None:
    base = BackboneSpace(DATA, "resnet20", {"channels": 1})
    with pytest.raises(SpaceError, match="1 input and 1 output channels is so narrow"):
        decisions_of(Compressed(base, LowRank()))
