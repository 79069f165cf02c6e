from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.compression import ChannelGroup, Member, channel_groups
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.backbones import backbone, cifar_densenet, cifar_resnet
from search_spaces.blocks import ShuffleUnit, conv_norm

IMAGE = (3, 8, 8)


class Through(nn.Module):
    """Two convolutions of 6 channels, a function of what they give, and a third convolution."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], last: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1), last
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.last(self.function(self.a(x), self.b(x)))


def groups_of(net: nn.Module, shape: tuple[int, ...] = IMAGE) -> dict[str, ChannelGroup]:
    groups = channel_groups(net, shape)
    names = [group.name for group in groups]
    assert len(set(names)) == len(names)
    return {group.name: group for group in groups}


def through(function: Callable[[Tensor, Tensor], Any], last: nn.Module) -> dict[str, ChannelGroup]:
    return groups_of(Through(function, last))


def places(group: ChannelGroup) -> set[tuple[str, str, int, int]]:
    return {(m.module, m.side, m.offset, m.repeat) for m in group.members}


def test_a_chain_has_a_group_between_any_two_layers() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 1), nn.PReLU(6), nn.PReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 2)),
    )
    assert channel_groups(net, IMAGE) == [
        ChannelGroup("0:in", 3, (Member("0", "in"),), fixed="network input"),
        ChannelGroup("0", 4, (Member("0", "out"), Member("1", "both"), Member("4", "in"))),
        ChannelGroup("4", 6, (Member("4", "out"), Member("5", "both"), Member("10", "in"))),
        ChannelGroup("10", 5, (Member("10", "out"), Member("12", "in"))),
        ChannelGroup("12", 2, (Member("12", "out"),), fixed="network output"),
    ]
    assert [group.inner for group in channel_groups(net, IMAGE)] == [False, True, True, True, False]


def test_sequences_are_read_as_images_are() -> None:
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7, 3)
    )
    group = groups_of(net, (2, 9))["0"]
    assert places(group) == {("0", "out", 0, 1), ("1", "both", 0, 1), ("4", "in", 0, 7)}


SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "+=": operator.iadd,
    "operator.add": operator.add,
    "torch.add": torch.add,
    "torch.add, scaled": lambda a, b: torch.add(a, b, alpha=2),
    "add": lambda a, b: a.add(b),
    "add_": lambda a, b: a.add_(b),
    "sum": lambda a, b: sum([a, b]),  # type: ignore[arg-type, return-value]
    "relu of the sum": lambda a, b: F.relu(1 + a + b, inplace=True),
}


@pytest.mark.parametrize("function", SUMS.values(), ids=SUMS.keys())
def test_a_sum_ties_its_terms(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    group = through(function, nn.Conv2d(6, 2, 1))["a"]
    assert places(group) == {("a", "out", 0, 1), ("b", "out", 0, 1), ("last", "in", 0, 1)}
    assert group.residual
    assert not group.inner
    assert [member.module for member in group.producers] == ["a", "b"]
    assert [member.module for member in group.consumers] == ["last"]


def test_a_product_ties_too_but_is_no_sum() -> None:
    group = through(operator.mul, nn.Conv2d(6, 2, 1))["a"]
    assert [member.module for member in group.producers] == ["a", "b"]
    assert not group.residual
    assert not group.inner


def test_a_concatenation_is_read_at_offsets() -> None:
    groups = through(lambda a, b: torch.cat([a, b, a], dim=-3), nn.Conv2d(18, 2, 1))
    assert places(groups["a"]) == {
        *(("a", "out", 0, 1), ("last", "in", 0, 1), ("last", "in", 12, 1))
    }
    assert places(groups["b"]) == {("b", "out", 0, 1), ("last", "in", 6, 1)}
    assert groups["b"].inner


def test_a_concatenation_of_positions_ties() -> None:
    group = through(lambda a, b: torch.cat((a, b), 2), nn.Conv2d(6, 2, 1))["a"]
    assert [member.module for member in group.producers] == ["a", "b"]
    assert not group.residual


def test_a_layer_may_be_cut_into_several_groups() -> None:
    """Six channels and two are summed with eight: the second layer has two groups."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, width, 1) for width in (6, 2, 8))
            self.last = nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.last(torch.cat([self.a(x), self.b(x)], 1) + self.c(x))
            return y

    groups = groups_of(Net())
    assert groups["a"].size == 6
    assert groups["b"].size == 2
    assert places(groups["a"]) == {("a", "out", 0, 1), ("c", "out", 0, 1), ("last", "in", 0, 1)}
    assert places(groups["b"]) == {("b", "out", 0, 1), ("c", "out", 6, 1), ("last", "in", 6, 1)}


FLATTENED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "flatten": lambda a, b: a.flatten(1),
    "torch.flatten": lambda a, b: torch.flatten(a, start_dim=1),
    "view": lambda a, b: a.view(a.size(0), -1),
    "view of a shape": lambda a, b: a.view((a.shape[0], -1)),
    "reshape": lambda a, b: a.reshape(len(a), a.shape[1] * a.shape[2] * a.shape[3]),
    "torch.reshape": lambda a, b: torch.reshape(a, (-1, a.size(1) * a.size(2) * a.size(3))),
    "in two steps": lambda a, b: a.flatten(2).flatten(1),
}


@pytest.mark.parametrize("function", FLATTENED.values(), ids=FLATTENED.keys())
def test_flattened_channels_are_positions_in_a_row(function: Callable[..., Tensor]) -> None:
    group = through(function, nn.Linear(6 * 64, 2))["a"]
    assert places(group) == {("a", "out", 0, 1), ("last", "in", 0, 64)}


MEANS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": lambda a, b: a.mean([2, 3]),
    "torch.mean": lambda a, b: torch.mean(a, dim=(-1, -2)),
    "in steps": lambda a, b: a.mean(3).sum(2),
    "kept": lambda a, b: a.mean((2, 3), keepdim=True).flatten(1),
    "pooled": lambda a, b: F.adaptive_avg_pool2d(a, 1).squeeze(-1).squeeze(-1),
    "pooled, squeezed": lambda a, b: F.adaptive_max_pool2d(a, 1).squeeze(),
    "pooled, indexed": lambda a, b: F.avg_pool2d(a, 8)[:, :, 0, 0],
    "a corner": lambda a, b: a[..., 0, -1],
    "transposed sizes": lambda a, b: F.max_pool2d(a, kernel_size=(8, 8)).view(a.shape[:2]),
}


@pytest.mark.parametrize("function", MEANS.values(), ids=MEANS.keys())
def test_means_over_positions_keep_channels(function: Callable[..., Tensor]) -> None:
    group = through(function, nn.Linear(6, 2))["a"]
    assert places(group) == {("a", "out", 0, 1), ("last", "in", 0, 1)}


KEPT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "functions": lambda a, b: F.dropout(F.leaky_relu(a, 0.1), training=False).clamp(0, 6),
    "arithmetic": lambda a, b: 2 * a**2 / 3 - torch.tensor(1.0),
    "interpolate": lambda a, b: F.interpolate(a, size=a.shape[2:]) + a,
    "pad": lambda a, b: F.pad(a, (1, 1, 1, 1)),
    "cropped": lambda a, b: a[:, :, 1:, 1:],
    "strided": lambda a, b: a[..., ::2, ::2],
    "an axis more and less": lambda a, b: a[:, :, None].squeeze(2).unsqueeze(0)[0],
    "a gate": lambda a, b: a * a.mean([2, 3])[:, :, None, None],
    "an expanded gate": lambda a, b: a * a.mean([2, 3], True).expand_as(a),
    "an expanded gate, by size": lambda a, b: a * a.mean([2, 3], True).expand(-1, -1, 8, 8),
    "where": lambda a, b: torch.where(a > 0, a, 0.1 * a),
    "pixels there and back": lambda a, b: F.pixel_shuffle(F.pixel_unshuffle(a, 2), 2),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT.keys())
def test_channels_pass_through(function: Callable[..., Tensor]) -> None:
    group = through(function, nn.Conv2d(6, 2, 1))["a"]
    assert places(group) == {("a", "out", 0, 1), ("last", "in", 0, 1)}
    assert not group.fixed


def test_pixel_shuffle_makes_one_channel_of_some_in_a_row() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(3, 3, 1)
    )
    group = groups_of(net)["0"]
    assert group.size == 3
    assert places(group) == {("0", "out", 0, 4), ("3", "in", 0, 1)}
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.PixelUnshuffle(2), nn.Conv2d(8, 3, 1))
    assert places(groups_of(net)["0"]) == {("0", "out", 0, 1), ("2", "in", 0, 4)}


def test_depthwise_convolutions_belong_to_what_they_read() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3, groups=4)),
        nn.Conv2d(8, 2, 1),
    )
    assert places(groups_of(net)["0"]) == {
        *(("0", "out", 0, 1), ("1", "both", 0, 1), ("2", "in", 0, 1)),
        *(("2", "out", 0, 2), ("3", "in", 0, 2)),
    }


def test_grouped_convolutions_are_fixed_on_both_sides() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 2, 1))
    groups = groups_of(net)
    assert groups["0"].fixed == groups["1"].fixed == "grouped convolution '1' (2 groups)"


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, linear: bool) -> None:
        super().__init__()
        layer = nn.Linear if linear else (lambda c_in, c_out: nn.Conv2d(c_in, c_out, 1))
        self.linear = linear
        self.down, self.up = layer(channels, 2), layer(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.size()
        y = F.adaptive_avg_pool2d(x, 1)
        y = torch.sigmoid(self.up(F.relu(self.down(y.view(n, c) if self.linear else y))))
        return x * y.view(n, c, 1, 1)


@pytest.mark.parametrize("linear", [False, True])
def test_squeeze_and_excitation_ties_its_gate_to_the_features(linear: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), SqueezeExcitation(6, linear), nn.Conv2d(6, 2, 1))
    groups = groups_of(net)
    assert places(groups["0"]) == {
        *(("0", "out", 0, 1), ("1.down", "in", 0, 1), ("1.up", "out", 0, 1), ("2", "in", 0, 1)),
    }
    assert places(groups["1.down"]) == {("1.down", "out", 0, 1), ("1.up", "in", 0, 1)}


def test_a_map_over_positions_reads_channels_and_ties_none() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Conv2d(6, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(self.map(x))

    groups = groups_of(nn.Sequential(nn.Conv2d(3, 6, 1), Attention(), nn.Conv2d(6, 2, 1)))
    assert places(groups["0"]) == {("0", "out", 0, 1), ("1.map", "in", 0, 1), ("2", "in", 0, 1)}
    assert groups["1.map"].size == 1


def test_a_layer_that_runs_twice_ties_what_it_reads() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1)
            self.shared, self.last = nn.Conv2d(6, 4, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.last(torch.cat([self.shared(self.a(x)), self.shared(self.b(x))], 1))
            return y

    groups = groups_of(Twice())
    assert places(groups["a"]) == {("a", "out", 0, 1), ("b", "out", 0, 1), ("shared", "in", 0, 1)}
    assert places(groups["shared"]) == {
        *(("shared", "out", 0, 1), ("last", "in", 0, 1), ("last", "in", 4, 1))
    }


class Quiet(nn.Identity):
    """What another package may add: nothing here can be traced."""

    def forward(self, input: Tensor) -> Tensor:
        return input * float(input.sum() > 0)


class OddConv(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input * float(input.abs().max()))


def test_subclasses_of_known_layers_are_layers() -> None:
    net = nn.Sequential(OddConv(3, 4, 1), Quiet(), OddConv(4, 2, 1))
    assert places(groups_of(net)["0"]) == {("0", "out", 0, 1), ("2", "in", 0, 1)}


class Scaled(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def unequal(x: Tensor) -> Tensor:
    return torch.stack(x.chunk(2, 1), 2).flatten(1, 2)


FIXED: dict[str, tuple[Callable[..., Tensor], str]] = {
    "chunk": (lambda a, b: torch.cat(a.chunk(2, 1), 1), "'chunk' in '1' does not keep"),
    "shuffle": (lambda a, b: unequal(a), "'chunk' in '1' does not"),
    "slice": (lambda a, b: torch.cat([a[:, :2], a[:, 2:]], 1), "'getitem' in '1' splits them"),
    "picked": (lambda a, b: a[:, [5, 4, 3, 2, 1, 0]], "'getitem' in '1' picks entries"),
    "mean": (lambda a, b: a - a.mean(1, keepdim=True), "'mean' in '1' runs over all channels"),
    "mean of all": (lambda a, b: a / a.mean(), "'mean' in '1' runs over all channels"),
    "softmax": (lambda a, b: a.softmax(1), "'softmax' in '1' does not"),
    "padded": (lambda a, b: F.pad(a, (0, 0, 0, 0, 1, 1))[:, 1:-1], "'pad' in '1' changes their"),
    "stated": (lambda a, b: a.view(-1, 6, 8, 8), "'view' in '1' states their number"),
    "stated twice": (lambda a, b: a.expand(2, 6, 8, 8), "'expand' in '1' states their number"),
    "mixed": (lambda a, b: a.view(a.size(0), 3, -1).view_as(a), "'view' in '1' mixes them with"),
    "constant": (lambda a, b: a + torch.ones(6, 1, 1), "'add' in '1' combines them with a const"),
    "axes": (
        lambda a, b: a[..., :6] + a.mean([2, 3])[:, None, None, :],
        "'add' in '1' combines different axes",
    ),
}


@pytest.mark.parametrize(("function", "reason"), FIXED.values(), ids=FIXED.keys())
def test_what_depends_on_all_channels_fixes_them(
    function: Callable[..., Tensor], reason: str
) -> None:
    class Inside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x, x)

    net = nn.Sequential(nn.Conv2d(3, 6, 1), Inside(), nn.Conv2d(6, 4, 1), nn.Conv2d(4, 2, 1))
    groups = groups_of(net)
    assert reason in groups["0"].fixed
    assert not groups["2"].fixed


@pytest.mark.parametrize("shape", [(1,), (), (1, 1, 1)])
def test_a_parameter_for_all_channels_is_passed(shape: tuple[int, ...]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), Scaled(*shape), nn.Conv2d(6, 4, 1))
    assert not groups_of(net)["0"].fixed


def test_a_parameter_for_each_channel_fixes_them() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), Scaled(6, 1, 1), nn.GroupNorm(2, 6), nn.Conv2d(6, 4, 1))
    assert "'mul' in '1' combines them with a constant" in groups_of(net)["0"].fixed
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.Conv2d(6, 4, 1))
    groups = groups_of(net)
    assert groups["0"].fixed == "'group_norm' in '1' does not keep them apart"
    assert groups["2:in"].fixed == groups["0"].fixed
    assert groups["2:in"].producers == ()


def test_units_that_shuffle_keep_their_inner_channels_free() -> None:
    net = nn.Sequential(conv_norm(3, 8), ShuffleUnit(8, 8, 3, 2), nn.Conv2d(8, 2, 1))
    groups = groups_of(net)
    assert groups["0.conv"].fixed
    assert groups["1.branch.widen.conv"].inner
    assert len(groups["1.branch.widen.conv"].members) == 5


def test_linear_layers_over_positions_hold_no_channels() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Linear(8, 5), nn.Linear(5, 2))
    groups = groups_of(net)
    assert groups["0"].fixed == "'1' reads an axis that holds no channels"
    assert groups["1:in"].fixed == groups["0"].fixed
    assert not groups["1"].fixed  # its own features run along the last axis


def test_a_channel_next_to_constants_can_be_cut() -> None:
    net = Through(lambda a, b: torch.cat([torch.zeros(2, 2, 8, 8), a], 1), nn.Conv2d(8, 2, 1))
    groups = groups_of(net)
    assert places(groups["a"]) == {("a", "out", 0, 1), ("last", "in", 2, 1)}
    assert groups["last:in"].fixed == "constants"


def test_a_network_is_left_as_it_is() -> None:
    net = nn.Sequential(conv_norm(3, 4), nn.Dropout(), Scaled(1), nn.Conv2d(4, 2, 1)).train()
    net[1].eval()
    before = {name: (id(t), t.clone()) for name, t in net.state_dict(keep_vars=True).items()}
    modes = [module.training for module in net.modules()]
    names = [set(vars(module)) for module in net.modules()]
    groups = channel_groups(net, IMAGE)
    assert [module.training for module in net.modules()] == modes
    assert [set(vars(module)) for module in net.modules()] == names
    after = net.state_dict(keep_vars=True)
    assert {name: id(tensor) for name, tensor in after.items()} == {
        n: i for n, (i, _) in before.items()
    }
    assert all(torch.equal(after[name], tensor) for name, (_, tensor) in before.items())
    with torch.device("meta"):
        meta = nn.Sequential(conv_norm(3, 4), nn.Dropout(), Scaled(1), nn.Conv2d(4, 2, 1))
    assert channel_groups(meta, IMAGE) == groups
    assert channel_groups(net.double(), IMAGE) == groups


def test_an_auxiliary_head_is_seen() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
            self.auxiliary = nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.forward_with_auxiliary(x)[0]

        def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.a(x)
            return self.b(y), self.auxiliary(y)

    groups = groups_of(Net())
    assert [member.module for member in groups["a"].members] == ["a", "b", "auxiliary"]
    assert groups["auxiliary"].fixed == "network output"


def test_inner_groups_of_a_residual_network_are_the_first_convolutions_of_its_blocks() -> None:
    data = DataSpec((3, 16, 16), "classes", 10)
    groups = channel_groups(cifar_resnet(data, 20, channels=4), data.input_shape)
    inner = [group for group in groups if group.inner]
    blocks = [f"features.stage{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert [group.name for group in inner] == [f"{block}.body.conv1.conv" for block in blocks]
    tied = [group for group in groups if group.residual]
    assert [(group.name, group.size, len(group.producers)) for group in tied] == [
        ("features.stem.conv", 4, 4),
        ("features.stage2.0.body.conv2.conv", 8, 4),
        ("features.stage3.0.body.conv2.conv", 16, 4),
    ]
    assert [g.fixed for g in groups if g.fixed] == ["network input", "network output"]


def test_groups_of_dense_blocks_are_read_by_all_that_follow() -> None:
    data = DataSpec((3, 8, 8), "classes", 10)
    groups = {g.name: g for g in channel_groups(cifar_densenet(data, 13, 4, 6), (3, 8, 8))}
    first = groups["features.block1.0.conv"]
    assert places(first) == {
        ("features.block1.0.conv", "out", 0, 1),
        *((f"features.block1.{i}.norm", "both", 6, 1) for i in (1, 2)),
        *((f"features.block1.{i}.conv", "in", 6, 1) for i in (1, 2)),
        *(("features.after1.norm", "both", 6, 1), ("features.after1.conv", "in", 6, 1)),
    }
    assert all(group.inner for group in groups.values() if not group.fixed)


def test_mobilenet_ties_depthwise_convolutions_and_residual_sums() -> None:
    with torch.device("meta"):
        net = backbone("mobilenet_v2", DataSpec((3, 64, 64), "classes", 10))
    groups = {g.name: g for g in channel_groups(net, (3, 64, 64))}
    widened = groups["features.3.conv.0.0"]
    assert widened.size == 144
    assert [(m.module, m.side) for m in widened.members] == [
        *(("features.3.conv.0.0", "out"), ("features.3.conv.0.1", "both")),
        *(("features.3.conv.1.0", "both"), ("features.3.conv.1.1", "both")),
        ("features.3.conv.2", "in"),
    ]
    assert [m.module for m in groups["features.2.conv.2"].producers] == [
        "features.2.conv.2",
        "features.3.conv.2",
    ]


class Inside(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def branches(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "unknown function": (
        lambda x: torch.einsum("nchw,ncij->nchw", x, x),
        r"'einsum' in '1.block' is no function .* use layers of torch.nn",
    ),
    "unknown method": (lambda x: x.cumsum(1), "'cumsum' in '1.block' is no function"),
    "a layer's function": (
        lambda x: F.conv2d(x, torch.ones(2, 6, 1, 1)),
        r"'conv2d' in '1.block' is no function .* use layers of torch.nn",
    ),
    "a branch on values": (
        branches,
        r"module '1.block' of type Inside cannot be traced \(.*; write it with layers",
    ),
    "its own mistake": (
        lambda x: x.no_such_method(),
        r"module '1.block' of type Inside cannot be traced .*no_such_method",
    ),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_known_is_refused(function: Callable[[Tensor], Any], message: str) -> None:
    block = nn.Sequential()
    block.add_module("block", Inside(function))
    with pytest.raises(SpaceError, match=message):
        channel_groups(nn.Sequential(nn.Conv2d(3, 6, 1), block), IMAGE)


def test_a_layer_without_a_rule_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ConvTranspose2d(6, 2, 2))
    with pytest.raises(SpaceError, match=r"'conv_transpose2d' in '1' is no function"):
        channel_groups(net, IMAGE)


def test_widths_that_disagree_name_their_producers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = conv_norm(3, 6), conv_norm(3, 8)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.a(x) + self.b(x)
            return y

    with pytest.raises(
        SpaceError,
        match=r"'add' cannot take what 'a.conv' \(shape \(6, 8, 8\)\) with 'b.conv' "
        r"\(shape \(8, 8, 8\)\) gives: .*; make widths and sizes agree",
    ):
        channel_groups(Net(), IMAGE)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(8))
    with pytest.raises(SpaceError, match=r"'1' cannot take what '0' .*: the layer reads 8 chan"):
        channel_groups(net, IMAGE)
    with pytest.raises(SpaceError, match=r"'0' cannot take what the network's input .*4, 8, 8"):
        channel_groups(net, (4, 8, 8))
