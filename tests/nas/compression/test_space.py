"""Any space with bits as a further dimension: schema, networks, costs, gradients, derivation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest
import torch
from torch import nn

from nas.arch import Weights, from_genotype
from nas.compression import Compressed, Compression
from nas.compression.gates import ChannelGates
from nas.compression.owner import Owner
from nas.compression.quantizer import Quantizer
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
from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError
from nas.searchable import MixedOp, candidate
from nas.space import (
    SearchSpace,
    blueprint,
    check_genotype,
    discretize,
    enumerate_genotypes,
    fingerprint,
    sample,
    size,
)
from nas.supernet import Supernet
from search_spaces.chain import ChainSpace
from search_spaces.darts import DartsSpace
from search_spaces.macro_chain import MacroChainSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.superbit import BackboneSpace
from search_spaces.toy import ToySpace

DATA = DataSpec((2, 8, 8), "classes", 4)
SPACES: Mapping[str, Callable[[], SearchSpace]] = {
    "toy": ToySpace,
    "chain": lambda: ChainSpace(DATA, 4, 6),
    "nasbench201": lambda: NasBench201Space(DATA, 4, 1, network_channels=4, network_cells=2),
    "macro_chain": lambda: MacroChainSpace(DATA, 2, 4, last_channels=8),
    "mobile": lambda: MobileSpace(DATA, 4, 6, depths=(1, 1, 2), last_channels=8),
    "darts": lambda: DartsSpace(DATA, 4, 3, nodes=2, network_channels=4, network_cells=3),
}


def small() -> Compressed:
    """Two channels with one operation each: 2 x 2 choices, bits where there is a convolution."""
    return Compressed(
        ToySpace(DataSpec((2, 6, 6), "classes", 3), 2, 2),
        Compression(weight_bits=(2, 4), activation_bits=None),
    )


def costs_of(
    space: SearchSpace, shape: tuple[int, ...]
) -> tuple[dict[str, Decision], list[TreeCost]]:
    net = blueprint(space)
    costs = [BitOps(net, shape), Macs(net, shape), Parameters(net), Size(net)]
    return dict(Supernet(net).decisions), costs


def counted(net: nn.Module, shape: tuple[int, ...]) -> list[float]:
    return [
        count_bitops(net, shape),
        count_macs(net, shape),
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


WIDTHS = (0.25, 0.5, 1.0)
BITS = {"bits": Compression()}
CHANNELS = {
    "bits and widths": Compression(widths=WIDTHS),
    "widths alone": Compression(None, None, widths=WIDTHS, round_to=2),
    "all widths": Compression(widths=WIDTHS, residual=True),
    "filters": Compression(filters=2),
}
FAST = [
    *((space, "bits") for space in SPACES if space != "darts"),
    ("darts", "bits and widths"),
    ("resnet", "bits and widths"),
    ("resnet", "widths alone"),
    ("resnet", "all widths"),
    ("resnet", "filters"),
]
CASES = [
    *FAST,
    *(
        pytest.param(space, how, marks=pytest.mark.slow)
        for space, how in [
            ("darts", "bits"),
            ("mobile", "bits and widths"),
            ("densenet", "bits and widths"),
            ("mobilenet", "bits and widths"),
        ]
    ),
]
BACKBONES: Mapping[str, Callable[[], SearchSpace]] = {
    "resnet": lambda: BackboneSpace(DATA, "resnet20", {"channels": 4}),
    "densenet": lambda: BackboneSpace(DATA, "densenet40", {"growth": 4, "channels": 4}),
    "mobilenet": lambda: BackboneSpace(DATA, "mobilenet_v2"),
}


LARGE = ("densenet", "mobilenet", "darts")


def compressed(name: str, how: str) -> Compressed:
    return Compressed({**SPACES, **BACKBONES}[name](), {**BITS, **CHANNELS}[how])


@pytest.mark.parametrize(("name", "how"), CASES)
def test_costs_are_those_of_the_networks_built(name: str, how: str) -> None:
    space = compressed(name, how)
    known, costs = costs_of(space, (2, 8, 8))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2 if name in LARGE else 4):
        choices = check_genotype(space, sample(space, generator))
        network = space.network(choices).eval()
        built = counted(network, (2, 8, 8))
        assert [exact(cost, known, choices) for cost in costs] == pytest.approx(built, abs=1e-3)
        one_hot = from_genotype(known, choices)
        assert [float(cost(one_hot)) for cost in costs] == pytest.approx(built, abs=1e-3)


def test_bits_of_every_layer_are_those_chosen() -> None:
    space = Compressed(SPACES["darts"](), Compression(ends=None))
    choices = sample(space, torch.Generator().manual_seed(1))
    network = space.network(choices)
    fixed = [part for part in network.modules() if isinstance(part, Quantizer)]
    assert fixed
    assert all(part.slot is None for part in fixed)
    weights = sorted(v for k, v in choices.items() if k.endswith("weight_bits"))
    assert set(weights) == {part.bits[0] for part in fixed if part.fixed_grid is not None}


def test_expectations_are_means_over_all_genotypes() -> None:
    space = small()
    shape = (2, 6, 6)
    known, costs = costs_of(space, shape)
    generator = torch.Generator().manual_seed(2)
    arch = {
        name: Weights(torch.rand(1, len(d), generator=generator).softmax(-1), tuple(range(len(d))))
        for name, d in known.items()
    }
    means = [0.0] * len(costs)
    for candidates in product(*(range(len(d)) for d in known.values())):
        chance = 1.0
        for name, index in zip(known, candidates, strict=True):
            chance *= float(arch[name].row[index])
        chosen = {name: (index,) for name, index in zip(known, candidates, strict=True)}
        for place, cost in enumerate(costs):
            means[place] += chance * cost.exact(chosen)
    assert [float(cost(arch)) for cost in costs] == pytest.approx(means, rel=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_every_decision_learns_from_the_loss_and_from_the_cost(name: str) -> None:
    space = Compressed(SPACES[name](), Compression())
    supernet = Supernet(space.supernet())
    _, (bitops, *_) = costs_of(space, (2, 8, 8))
    generator = torch.Generator().manual_seed(0)
    leaves = {
        name: torch.full((d.groups, len(d)), 1 / len(d)).requires_grad_()
        for name, d in supernet.decisions.items()
    }
    arch = {n: Weights(leaf, tuple(range(leaf.shape[1]))) for n, leaf in leaves.items()}
    output = supernet(torch.randn(4, 2, 8, 8, generator=generator), arch)
    loss = output.square().mean()
    bits = {n: leaf for n, leaf in leaves.items() if n.endswith("_bits")}
    assert bits
    of_loss = torch.autograd.grad(loss, list(bits.values()))
    of_cost = torch.autograd.grad(bitops(arch), list(bits.values()))
    assert all(float(g.abs().sum()) > 0 for g in (*of_loss, *of_cost))


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, "bits") for name in ("toy", "nasbench201", "darts")]
    + [("darts", "bits and widths"), ("resnet", "all widths"), ("resnet", "filters")],
)
def test_the_supernet_under_a_genotype_is_its_settled_network(name: str, how: str) -> None:
    space = compressed(name, how)
    supernet = Supernet(space.supernet())
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, 2, 8, 8, generator=generator)
    choices = sample(space, generator)
    arch = from_genotype(supernet.decisions, choices)
    supernet.train()(x, arch)  # sets the clipping values
    supernet.eval()
    frozen = supernet.freeze(arch)
    torch.testing.assert_close(frozen(x), supernet(x, arch))
    settled = space.settled(frozen)
    torch.testing.assert_close(settled(x), supernet(x, arch))
    if name == "resnet":
        network = space.network(choices)
        network.load_state_dict(settled.state_dict())
        torch.testing.assert_close(network.eval()(x), settled(x))


def test_a_mask_before_normalization_would_not_be_cut_out() -> None:
    space = compressed("resnet", "widths alone")
    supernet = Supernet(space.supernet())
    x = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    choices = dict.fromkeys(space.decisions, 0.25)
    arch = from_genotype(supernet.decisions, choices)
    with torch.no_grad():
        for part in supernet.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.bias.fill_(0.3)
    supernet.eval()
    right = space.settled(supernet.freeze(arch))(x)
    torch.testing.assert_close(supernet(x, arch), right)
    for part in list(supernet.modules()):
        if isinstance(part, nn.Sequential) and isinstance(part[-1], ChannelGates):
            part[0], part[1] = part[1], part[0]
    assert float((supernet(x, arch) - right).detach().abs().max()) > 0.01


def test_size_is_that_of_the_enumeration() -> None:
    assert size(small()) == len(enumerate_genotypes(small()))


def test_darts_counts_an_edge_as_often_as_its_bits() -> None:
    base = DartsSpace(
        DATA, 4, 3, nodes=1, operations=("none", "skip_connect", "dil_conv_3x3"), network_cells=3
    )
    space = Compressed(base, Compression((2, 4), None))
    per_edge = 1 + 2  # a skip, or a convolution at one of two numbers of bits
    reduce_edge = 2 + 2  # there a skip is a factorized reduction
    fixed = 2**4  # two input convolutions of both kinds of cells
    assert size(space) == per_edge**2 * reduce_edge**2 * fixed


def test_discretize_takes_the_heaviest_bits_of_what_is_kept() -> None:
    space = Compressed(SPACES["darts"](), Compression())
    choices = sample(space, torch.Generator().manual_seed(5))
    supernet = Supernet(space.supernet())
    arch = from_genotype(supernet.decisions, choices)
    arch = {name: Weights(0.9 * w.values + 0.01, w.live) for name, w in arch.items()}
    for name, decision in supernet.decisions.items():
        even = torch.full((decision.groups, len(decision)), 1 / len(decision))
        arch.setdefault(name, Weights(even, tuple(range(len(decision)))))
    assert discretize(space, arch) == choices


def test_compression_is_part_of_the_fingerprint() -> None:
    base = SPACES["nasbench201"]()
    prints = {fingerprint(base)}
    prints |= {fingerprint(Compressed(base, Compression((2, 4), bits))) for bits in (None, (2, 4))}
    assert len(prints) == 3


class Unmarked(ToySpace):
    """Builds networks that do not say which choices their parts belong to."""

    def network(self, genotype: Genotype) -> nn.Module:  # type: ignore[override]
        network = super().network(genotype)
        for part in network.operations:
            vars(part).pop("scope")
        return network


def test_a_network_without_scopes_is_refused() -> None:
    space = Compressed(Unmarked(), Compression())
    with pytest.raises(SpaceError, match=r"must be marked by nas\.searchable\.candidate"):
        space.network(dict(_full(space)))


def _full(space: Compressed) -> dict[str, Choice]:
    generator = torch.Generator().manual_seed(0)
    while True:
        choices = sample(space, generator)
        if any(name.startswith("channel1/") for name in choices):
            return choices


class Layer(nn.Module):
    """A space of a single layer whose supernet has a part that its networks lack."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions = {"layer": Decision("layer", ("a",))}

    def supernet(self) -> nn.Module:
        mixed = MixedOp(self.decisions["layer"], lambda name: nn.Conv2d(2, 2, 1))
        return nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), mixed, nn.Conv2d(2, 2, 1))

    def blueprint(self) -> nn.Module:
        mixed = MixedOp(self.decisions["layer"], lambda name: nn.Conv2d(2, 2, 1))
        return nn.Sequential(nn.Conv2d(2, 2, 1), mixed, nn.Conv2d(2, 2, 1))

    def network(self, genotype: Genotype) -> nn.Module:
        chosen = candidate(nn.Conv2d(2, 2, 1), "layer", "a")
        return nn.Sequential(nn.Conv2d(2, 2, 1), chosen, nn.Conv2d(2, 2, 1))


def test_parts_of_the_supernet_alone_are_refused() -> None:
    with pytest.raises(SpaceError, match="is in the supernet and in no network"):
        Compressed(Layer(), Compression()).supernet()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_bits": None, "activation_bits": None}, "decides on nothing"),
        ({"weight_bits": (2, 3)}, "compression.weight_bits: the levels of 2 bits"),
        ({"activation_bits": (8, 4)}, "compression.activation_bits must increase"),
        ({"ends": 1}, "compression.ends lie between 2 and 16"),
        ({"grid": "coarse"}, "compression.grid must be one of"),
        ({"widths": (0.5,)}, "rise to 1.0"),
        ({"widths": (1.0, 0.5)}, "rise to 1.0"),
        ({"widths": (0.5, 1.0), "filters": 4}, "set one of them"),
        ({"filters": 0}, "compression.filters must be at least 1"),
        ({"round_to": 8}, "belong to compression.widths"),
        ({"widths": (0.5, 1.0), "round_to": 0}, "round_to must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Compression(**settings)  # type: ignore[arg-type]


def test_filters_need_blocks_that_fit_and_one_width() -> None:
    with pytest.raises(SpaceError, match=r"filters=3 does not divide the 4 filters of features"):
        Compressed(BACKBONES["resnet"](), Compression(filters=3)).supernet()
    with pytest.raises(SpaceError, match=r"sep_conv_3x3 has other widths in the supernet"):
        Compressed(SPACES["darts"](), Compression(filters=2)).supernet()


def test_a_layer_without_a_rule_is_refused_until_it_is_skipped() -> None:
    def made() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 4, 2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        )

    with pytest.raises(SpaceError, match=r"layer '1' of type ConvTranspose2d .*skip=\[1\]"):
        Compression().apply(made())
    net = Compression(skip=("1",)).apply(made())
    assert isinstance(net.get_submodule("1"), nn.ConvTranspose2d)
    owned = {d.name for part in net.modules() if isinstance(part, Owner) for d in part.owned}
    assert owned == {"2/weight_bits", "2/activation_bits"}


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(SpaceError, match="no convolution or linear layer"):
        Compression().apply(nn.Sequential(nn.ReLU()))
