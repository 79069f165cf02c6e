"""Freezing: a supernet under one-hot weights against the plain network it becomes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights, from_genotype, k_hot
from nas.dataspec import DataSpec
from nas.decision import Decision, Genotype
from nas.errors import SpaceError
from nas.searchable import MixedOp, Node, PartialChannels, Prefix, apply_partial_channels
from nas.space import sample
from nas.supernet import Searchable, Slot, Supernet, frozen
from search_spaces.darts import DartsSpace


def even(*decisions: Decision) -> dict[str, Weights]:
    return {
        d.name: Weights(torch.full((d.groups, len(d)), 1 / len(d)), tuple(range(len(d))))
        for d in decisions
    }


class Reader(nn.Module):
    """Reads a decision but has no ``freeze``."""

    def __init__(self) -> None:
        super().__init__()
        self.slot = Slot(Decision("d", (0, 1)))


def conv_edge(name: str, channels: int = 8, stride: int = 1) -> MixedOp:
    def make(op: object, width: int) -> nn.Module:
        if op == "pool":
            return nn.MaxPool2d(3, stride, 1)
        conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(width, affine=False))

    return MixedOp(Decision(name, ("pool", "conv3", "again")), make, channels, stride)


class Cell(nn.Module):
    """Two nodes over the input, the second with the first among its inputs."""

    def __init__(self, partial: bool) -> None:
        super().__init__()
        self.first = Node([conv_edge("0->1")], Decision("1/inputs", (0,)))
        edges = [conv_edge("0->2"), conv_edge("1->2"), nn.Identity()]
        self.second = Node(edges, Decision("2/inputs", (0, 1, 2), pick=2))
        self.width = Prefix(8, Decision("width", (2, 4), kind="nested", groups=2))
        if partial:
            apply_partial_channels(self, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first([x])
        return torch.as_tensor(self.width(self.second([x, y, x])))


def darts(partial: int | None) -> nn.Module:
    data = DataSpec((2, 9, 9), "classes", 3)
    net = DartsSpace(data, channels=4, cells=3, nodes=2).supernet()
    if partial is not None:
        apply_partial_channels(net, partial)
    return net


def nested_edge() -> MixedOp:
    """A choice inside a choice: the inner one is frozen with the outer."""
    inside = {"inner": conv_edge("inner"), "deeper": nn.Sequential(conv_edge("deeper"), nn.ReLU())}
    return MixedOp(Decision("outer", (*inside, "none")), lambda c: inside.get(c, nn.Identity()))


NETS: dict[str, Callable[[], nn.Module]] = {
    "MixedOp": lambda: nn.Sequential(conv_edge("a"), nn.ReLU(), conv_edge("b", stride=2)),
    "PartialChannels": lambda: PartialChannels(conv_edge("a", 2, stride=2), 4, 2),
    "Prefix": lambda: nn.Sequential(nn.Conv2d(8, 8, 1), Prefix(8, Decision("w", (1, 8), "nested"))),
    "Node": lambda: Cell(partial=False),
    "Node with PartialChannels": lambda: Cell(partial=True),
    "darts": lambda: darts(None),
    "darts with PartialChannels": lambda: darts(2),
}


def random_genotype(decisions: dict[str, Decision]) -> Genotype:
    return sample(type("Any", (), {"decisions": decisions})(), torch.Generator().manual_seed(5))


def trained(name: str) -> tuple[Supernet, dict[str, Weights], Tensor]:
    """A supernet whose statistics have moved, in eval mode, with one-hot weights and inputs."""
    supernet = Supernet(NETS[name]())
    x = torch.randn(2, 2, 9, 9) if "darts" in name else torch.randn(2, 8, 9, 9)
    for _ in range(2):
        supernet(x, even(*supernet.decisions.values()))
    supernet.eval()
    return supernet, from_genotype(supernet.decisions, random_genotype(dict(supernet.decisions))), x


@pytest.mark.parametrize("name", NETS)
def test_a_frozen_network_equals_the_supernet_under_one_hot_weights(name: str) -> None:
    supernet, arch, x = trained(name)
    plain = supernet.freeze(arch)
    with torch.no_grad():
        assert torch.equal(plain(x), supernet(x, arch))


@pytest.mark.parametrize("outer", ["inner", "deeper", "none"])
def test_a_choice_inside_a_choice_is_frozen_with_it(outer: str) -> None:
    supernet, x = Supernet(nested_edge()).eval(), torch.randn(2, 8, 5, 5)
    genotype = {"outer": outer, **({} if outer == "none" else {outer: "conv3"})}
    arch = from_genotype(supernet.decisions, genotype)
    plain = supernet.freeze(arch)
    assert not any(isinstance(m, Slot) for m in plain.modules())
    with torch.no_grad():
        assert torch.equal(plain(x), supernet(x, arch))


@pytest.mark.parametrize("name", ["Node", "darts"])
def test_without_weights_of_the_inputs_a_frozen_node_keeps_all_edges(name: str) -> None:
    supernet, arch, x = trained(name)
    arch = {n: w for n, w in arch.items() if n not in supernet.optional}
    plain = supernet.freeze(arch)
    with torch.no_grad():
        assert torch.equal(plain(x), supernet(x, arch))


@pytest.mark.parametrize("name", NETS)
def test_a_frozen_network_is_plain_and_shares_nothing(name: str) -> None:
    supernet, arch, x = trained(name)
    plain = supernet.freeze(arch)
    assert not any(isinstance(m, Slot | MixedOp | Node | Prefix) for m in plain.modules())
    old = {t.data_ptr() for t in supernet.state_dict().values() if t.numel()}
    assert not any(t.data_ptr() in old for t in plain.state_dict().values() if t.numel())
    with torch.no_grad():
        before = supernet(x, arch)
        for parameter in plain.parameters():
            parameter.fill_(7.0)
        assert torch.equal(supernet(x, arch), before)


def test_a_frozen_network_keeps_what_the_genotype_left_out_of_the_supernet() -> None:
    supernet, arch, _ = trained("darts")
    kept = sum(p.numel() for p in supernet.freeze(arch).parameters())
    assert 0 < kept < sum(p.numel() for p in supernet.parameters())
    assert len(supernet.realised()) > 0


def test_hooks_on_the_frozen_network_do_not_fire_in_the_supernet() -> None:
    supernet, arch, x = trained("Node")
    plain = supernet.freeze(arch)
    fired: list[nn.Module] = []
    plain.register_forward_hook(lambda module, inputs, output: fired.append(module))
    supernet(x, arch)
    assert fired == []
    plain(x)
    assert fired == [plain]


def test_a_module_in_two_places_stays_one_module_when_frozen() -> None:
    shared, twice = nn.Linear(3, 3), conv_edge("a")
    net = nn.ModuleDict({"x": shared, "y": nn.Sequential(shared, twice), "z": twice})
    plain = Supernet(net).freeze({"a": k_hot(twice.slot.decision, [[1]])})
    assert isinstance(plain, nn.ModuleDict)
    inner = plain["y"]
    assert isinstance(inner, nn.Sequential)
    assert plain["x"] is inner[0]
    assert plain["z"] is inner[1]
    assert plain["x"] is not shared


def test_a_module_without_choices_is_copied() -> None:
    class Unwilling(nn.Linear):
        def freeze(self) -> nn.Module:
            raise AssertionError("a plain module's own freeze means something else")

    net = nn.Sequential(Unwilling(2, 2))
    plain = frozen(net)
    assert torch.equal(plain(torch.eye(2)), net(torch.eye(2)))
    assert next(plain.parameters()) is not next(net.parameters())


def test_a_reader_of_a_decision_that_cannot_freeze_is_refused() -> None:
    with pytest.raises(SpaceError, match="Reader reads decision 'd' but cannot become a plain"):
        frozen(nn.Sequential(Reader()))


def test_a_mixture_cannot_be_frozen() -> None:
    supernet = Supernet(nn.Sequential(conv_edge("a")))
    with pytest.raises(ValueError, match="needs one-hot weights of one group, got 3 live"):
        supernet.freeze(even(*supernet.decisions.values()))


@pytest.mark.parametrize("name", ["MixedOp", "Node", "PartialChannels", "Prefix"])
def test_searchable_modules_follow_the_contract(name: str) -> None:
    kinds = {"MixedOp": MixedOp, "Node": Node, "PartialChannels": PartialChannels, "Prefix": Prefix}
    found = [m for m in NETS[name]().modules() if isinstance(m, kinds[name])]
    assert found
    assert all(isinstance(module, Searchable) for module in found)
