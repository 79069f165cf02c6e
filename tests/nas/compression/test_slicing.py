from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from nas.compression import ChannelGroup, channel_groups, sliced
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from nas.space import SearchSpace, sample
from search_spaces.backbones import (
    backbone,
    cifar_densenet,
    cifar_resnet,
    cifar_vgg16,
)
from search_spaces.blocks import conv_norm
from search_spaces.darts import DartsSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space

Kept = dict[str, list[int]]
TOLERANCE = 1e-10


def randomized(net: nn.Module) -> nn.Module:
    """In double precision, evaluated, and with normalization that moves every channel."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return net.double().eval()


def some(groups: Sequence[ChannelGroup], seed: int) -> Kept:
    """Which channels of every group that can be cut stay."""
    chance = random.Random(seed)
    kept = {}
    for group in groups:
        if not group.fixed:
            size = chance.randint(1, group.size)
            kept[group.name] = chance.sample(range(group.size), size)
    return kept


def masked_where_read(
    net: nn.Module, kept: Mapping[str, Sequence[int]], groups: Sequence[ChannelGroup]
) -> nn.Module:
    """A copy in which each layer reads zeros instead of the channels that are to be cut."""
    result = copy.deepcopy(net)

    def zeroing(mask: Tensor) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            axis = inputs[0].dim() - 1 if isinstance(module, nn.Linear) else 1
            return (inputs[0] * mask.view(-1, *[1] * (inputs[0].dim() - 1 - axis)),)

        return hook

    for group in groups:
        stay = set(kept.get(group.name, range(group.size)))
        for member in group.consumers:
            layer = result.get_submodule(member.module)
            width = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
            assert isinstance(width, int)
            mask = torch.ones(width, dtype=torch.float64)
            for channel in set(range(group.size)) - stay:
                start = member.offset + channel * member.repeat
                mask[start : start + member.repeat] = 0
            layer.register_forward_pre_hook(zeroing(mask))
    return result


def masked_after(net: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy in which what the named modules give is multiplied by 0/1 masks."""
    result = copy.deepcopy(net)
    for name, mask in masks.items():
        result.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, mask=mask: output * mask.view(-1, 1, 1)
        )
    return result


def distance(one: nn.Module, other: nn.Module, shape: Sequence[int]) -> float:
    """The largest difference of outputs, relative to the largest output."""
    x = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        a, b = one(x), other(x)
    assert a.abs().max() > 1e-3
    return float((a - b).abs().max() / a.abs().max())


def ones_at(size: int, kept: Sequence[int]) -> Tensor:
    return torch.zeros(size, dtype=torch.float64).index_fill(0, torch.tensor(kept), 1)


class SuperResolution(nn.Module):
    """Pixels of residual blocks, shuffled to twice the size, on top of the input's."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.PReLU(2 * channels)),
            nn.Conv2d(2 * channels, channels, 3, padding=1),
        )
        self.up = nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.PixelShuffle(2))
        self.relu, self.last = nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        y = self.relu(self.up(y + self.body(y)))
        return self.last(y) + F.interpolate(x, scale_factor=2.0)


class Flat(nn.Module):
    """Two concatenated branches, flattened with all their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = conv_norm(3, 5, 3), conv_norm(3, 4, 1)
        self.pool = nn.MaxPool2d(2)
        self.inner = nn.Linear(9 * 16, 7)
        self.norm, self.last = nn.BatchNorm1d(7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(torch.cat([self.one(x), self.other(x)], 1))
        y = F.gelu(self.norm(self.inner(y.view(y.size(0), -1))))
        return self.last(y)  # type: ignore[no-any-return]


LINE = DataSpec((2, 16), "classes", 10)
CIFAR = DataSpec((3, 8, 8), "classes", 10)
IMAGES = DataSpec((3, 64, 64), "classes", 10)


def of_torchvision(name: str) -> nn.Module:
    import torchvision

    net: nn.Module = getattr(torchvision.models, name)(weights=None, num_classes=10)
    return net


def of_space(space: SearchSpace, seed: int) -> nn.Module:
    return space.network(sample(space, torch.Generator().manual_seed(seed)))


def darts(data: DataSpec) -> nn.Module:
    return of_space(DartsSpace(data, network_channels=4, network_cells=3), 3)


def mobile(block: Any) -> nn.Module:
    return of_space(MobileSpace(CIFAR, network_channels=4, block=block, last_channels=16), 6)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (
        lambda: nn.Sequential(
            conv_norm(3, 8, 3), conv_norm(8, 12, 3), nn.Conv2d(12, 4, 1, bias=True)
        ),
        CIFAR.input_shape,
    ),
    "resnet20": (lambda: cifar_resnet(CIFAR, 20, channels=6), CIFAR.input_shape),
    "resnet29, bottlenecks": (lambda: cifar_resnet(CIFAR, 29, True, 4), CIFAR.input_shape),
    "vgg16": (lambda: cifar_vgg16(CIFAR, 4), CIFAR.input_shape),
    "densenet": (lambda: cifar_densenet(CIFAR, 13, 5, 7), CIFAR.input_shape),
    "resnet18": (lambda: backbone("resnet18", IMAGES), IMAGES.input_shape),
    "mobilenet_v2": (lambda: backbone("mobilenet_v2", IMAGES), IMAGES.input_shape),
    "mobilenet_v3_small": (lambda: of_torchvision("mobilenet_v3_small"), IMAGES.input_shape),
    "darts": (lambda: darts(CIFAR), CIFAR.input_shape),
    "darts, sequences": (lambda: darts(LINE), LINE.input_shape),
    "nasbench201": (
        lambda: of_space(NasBench201Space(CIFAR, network_channels=4, network_cells=1), 5),
        CIFAR.input_shape,
    ),
    "mobile": (lambda: mobile("inverted_residual"), CIFAR.input_shape),
    "shuffled units": (
        lambda: mobile("shuffle"),
        CIFAR.input_shape,
    ),
    "super-resolution": (SuperResolution, CIFAR.input_shape),
    "flattened": (Flat, CIFAR.input_shape),
}


@pytest.mark.parametrize(("make", "shape"), NETS.values(), ids=NETS.keys())
def test_cutting_is_masking_what_is_read(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    net = randomized(make())
    groups = channel_groups(net, shape)
    kept = some(groups, seed=1)
    small = sliced(net, kept, groups)
    assert distance(masked_where_read(net, kept, groups), small, shape) < TOLERANCE
    assert distance(net, small, shape) > 1e-3  # the cut does something
    again = {group.name: group for group in channel_groups(small, shape)}
    assert {name: again[name].size for name in kept} == {n: len(c) for n, c in kept.items()}


def test_inner_channels_are_masked_after_normalization_and_activation() -> None:
    net = randomized(cifar_resnet(CIFAR, 20, channels=6))
    groups = channel_groups(net, CIFAR.input_shape)
    kept = {n: c for n, c in some(groups, seed=2).items() if ".conv1." in n}
    assert len(kept) == 9
    small = sliced(net, kept, groups)
    sizes = {group.name: group.size for group in groups}

    def masks(layer: str) -> dict[str, Tensor]:
        return {n.removesuffix("conv") + layer: ones_at(sizes[n], c) for n, c in kept.items()}

    assert distance(masked_after(net, masks("relu")), small, CIFAR.input_shape) < TOLERANCE
    # a masked filter is no dead channel: normalization gives it a value (the negative control)
    assert distance(masked_after(net, masks("conv")), small, CIFAR.input_shape) > 1e-3


def test_residual_channels_are_masked_in_every_term_of_their_sums() -> None:
    net = randomized(cifar_resnet(CIFAR, 20, channels=6))
    groups = {group.name: group for group in channel_groups(net, CIFAR.input_shape)}
    name = "features.stage2.0.body.conv2.conv"
    kept = [0, 3, 4, 9]
    mask = ones_at(groups[name].size, kept)
    small = sliced(net, {name: kept}, list(groups.values()))
    terms = [f"features.stage2.{block}.body.conv2.norm" for block in range(3)]
    masks = dict.fromkeys([*terms, "features.stage2.0.shortcut.norm"], mask)
    assert distance(masked_after(net, masks), small, CIFAR.input_shape) < TOLERANCE
    masks.pop("features.stage2.0.shortcut.norm")
    assert distance(masked_after(net, masks), small, CIFAR.input_shape) > 1e-3


HALVES: dict[str, tuple[Callable[[int], nn.Module], tuple[int, ...]]] = {
    "resnet20": (lambda c: cifar_resnet(CIFAR, 20, channels=c), (8, 4)),
    "resnet29, bottlenecks": (lambda c: cifar_resnet(CIFAR, 29, True, c), (8, 4)),
    "vgg16": (lambda c: cifar_vgg16(CIFAR, c), (8, 4)),
    "densenet": (lambda c: cifar_densenet(CIFAR, 13, c, c), (8, 4)),
}


@pytest.mark.parametrize(("make", "widths"), HALVES.values(), ids=HALVES.keys())
def test_half_of_every_group_is_the_network_of_half_the_width(
    make: Callable[[int], nn.Module], widths: tuple[int, int]
) -> None:
    wide, narrow = map(make, widths)
    groups = channel_groups(wide, CIFAR.input_shape)
    kept = {g.name: range(g.size // 2) for g in groups if not g.fixed}
    small = sliced(wide, kept, groups)
    shapes = {name: tensor.shape for name, tensor in small.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in narrow.state_dict().items()}
    assert str(small) == str(narrow)  # what layers say of themselves
    assert count_parameters(small) == count_parameters(narrow)
    assert count_macs(small, CIFAR.input_shape) == count_macs(narrow, CIFAR.input_shape)
    small = randomized(small)
    narrow = narrow.double().eval()
    narrow.load_state_dict(small.state_dict())
    assert distance(small, narrow, CIFAR.input_shape) == 0


def half_of_mobilenet(outputs: int) -> int:
    """Parameters of MobileNetV2 with half of every width, from the table of 1801.04381."""
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    total, width = 3 * 16 * 9 + 2 * 16, 16
    for expansion, channels, repeats in table:
        for _ in range(repeats):
            inner = expansion * width
            total += (width * inner + 2 * inner) * (expansion > 1) + (9 + 2) * inner
            total += inner * channels // 2 + channels
            width = channels // 2
    return total + (width + 2) * 640 + (640 + 1) * outputs


def test_parameters_that_are_left_are_those_of_the_table() -> None:
    with torch.device("meta"):
        net = backbone("mobilenet_v2", IMAGES)
    groups = channel_groups(net, IMAGES.input_shape)
    small = sliced(net, {g.name: range(g.size // 2) for g in groups if not g.fixed}, groups)
    assert all(parameter.is_meta for parameter in small.parameters())
    assert count_parameters(small) == half_of_mobilenet(10)


def test_parameters_that_one_inner_group_takes_with_it() -> None:
    net = backbone("resnet18", IMAGES)
    groups = channel_groups(net, IMAGES.input_shape)
    small = sliced(net, {"layer2.0.conv1": [1, 5, 77]}, groups)
    lost = 128 - 3
    before, after = count_parameters(net), count_parameters(small)
    assert before - after == lost * (64 * 9 + 2 + 128 * 9)
    assert type(small) is type(net)
    assert count_parameters(net) == before
    for name, parameter in net.named_parameters():
        if not name.startswith(("layer2.0.conv", "layer2.0.bn1")):
            assert torch.equal(parameter, small.get_parameter(name))
    assert torch.equal(small.layer2[0].conv1.weight, net.layer2[0].conv1.weight[[1, 5, 77]])
    assert torch.equal(small.layer2[0].conv2.weight, net.layer2[0].conv2.weight[:, [1, 5, 77]])


class Random(nn.Module):
    """A small network as drawn: stages of one kind each, then a head."""

    def __init__(self, stages: Sequence[tuple[str, int]], flat: bool) -> None:
        super().__init__()
        self.kinds = [kind for kind, _ in stages]
        self.stages = nn.ModuleList()
        width = 3
        for kind, channels in stages:
            stage, width = self._stage(kind, width, channels)
            self.stages.append(stage)
        self.pool: nn.Module = nn.AvgPool2d(3) if flat else nn.AdaptiveAvgPool2d(1)
        self.inner, self.last = nn.Linear(width * (4 if flat else 1), 5), nn.Linear(5, 2)

    @staticmethod
    def _stage(kind: str, width: int, channels: int) -> tuple[nn.Module, int]:
        if kind == "conv":
            return conv_norm(width, channels, 3), channels
        if kind == "residual":
            body = nn.Sequential(conv_norm(width, channels), conv_norm(channels, width, relu=False))
            return body, width
        if kind == "projected":
            return nn.ModuleList(
                [conv_norm(width, channels, 3), conv_norm(width, channels)]
            ), channels
        if kind == "depthwise":
            parts = (
                conv_norm(width, channels),
                conv_norm(channels, 2 * channels, 3, groups=channels),
            )
            return nn.Sequential(*parts), 2 * channels
        if kind == "dense":
            return conv_norm(width, channels, 3), width + channels
        if kind == "gated":
            return nn.ModuleList([nn.Linear(width, channels), nn.Linear(channels, width)]), width
        assert kind == "shuffled"
        return nn.Sequential(nn.Conv2d(width, 4 * channels, 1), nn.PixelShuffle(2)), channels

    def forward(self, x: Tensor) -> Tensor:
        for kind, stage in zip(self.kinds, self.stages, strict=True):
            if kind == "residual":
                x = F.relu(x + stage(x))
            elif kind == "projected":
                one, other = stage
                x = one(x)[:, :] + other(x)
            elif kind == "dense":
                x = torch.cat((stage(x), x), 1)
            elif kind == "gated":
                down, up = stage
                gate = up(F.relu(down(x.mean((2, 3)))))
                x = x * torch.sigmoid(gate).unsqueeze(2)[..., None]
            elif kind == "shuffled":
                x = F.avg_pool2d(stage(x), 2)
            else:
                x = stage(x)
        y: Tensor = self.last(F.relu(self.inner(torch.flatten(self.pool(x), 1))))
        return y


KINDS = ("conv", "residual", "projected", "depthwise", "dense", "gated", "shuffled")


@settings(max_examples=25)
@given(
    stages=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 5)), min_size=1, max_size=6),
    flat=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_random_networks_are_cut_at_random(
    stages: list[tuple[str, int]], flat: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    net = randomized(Random(stages, flat))
    groups = channel_groups(net, (3, 6, 6))
    kept = some(groups, seed)
    small = sliced(net, kept, groups)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            small(x), masked_where_read(net, kept, groups)(x), rtol=TOLERANCE, atol=TOLERANCE
        )
    # every axis of every layer is in the groups, each entry once
    found: dict[tuple[str, str], list[int]] = {}
    for group in groups:
        for m in group.members:
            entries = range(m.offset, m.offset + group.size * m.repeat)
            found.setdefault((m.module, m.side), []).extend(entries)
    assert all(sorted(entries) == list(range(len(entries))) for entries in found.values())
    layers = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert {name for name, _ in found} >= set(layers)


def test_layers_that_run_twice_are_cut_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = conv_norm(3, 6)
            self.shared, self.last = conv_norm(6, 6, 3), nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.last(self.shared(self.shared(self.stem(x))))
            return y

    net = randomized(Twice())
    groups = channel_groups(net, CIFAR.input_shape)
    kept = {"stem.conv": [0, 2, 5]}
    small = sliced(net, kept, groups)
    assert small.get_parameter("shared.conv.weight").shape == (3, 3, 3, 3)
    assert distance(masked_where_read(net, kept, groups), small, CIFAR.input_shape) < TOLERANCE


class Scaled(nn.Conv2d):
    """A convolution with a factor for each output channel, as quantized ones have."""

    per_output: tuple[str, ...] = ("scale", "inner.zero")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.scale = nn.Parameter(torch.rand(self.out_channels, 1, 1), requires_grad=False)
        self.limit = nn.Parameter(torch.tensor(6.0))
        self.inner = nn.Module()
        self.inner.register_buffer("zero", torch.rand(self.out_channels))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.scale + self.inner.zero.view(-1, 1, 1)  # type: ignore[operator, union-attr]


class Undeclared(Scaled):
    per_output = ()


def test_subclasses_stay_and_their_tensors_are_cut() -> None:
    net = nn.Sequential(Scaled(3, 6, 1), nn.ReLU(), Scaled(6, 6, 3, groups=6), Scaled(6, 2, 1))
    net = net.double().eval()
    groups = channel_groups(net, CIFAR.input_shape)
    kept = {"0": [4, 1]}
    small = sliced(net, kept, groups)
    assert [type(layer) for layer in small] == [Scaled, nn.ReLU, Scaled, Scaled]
    assert distance(masked_where_read(net, kept, groups), small, CIFAR.input_shape) < TOLERANCE
    cut = small[0]
    assert isinstance(cut.scale, nn.Parameter)
    assert not cut.scale.requires_grad
    assert cut.weight.requires_grad
    assert torch.equal(cut.scale, net[0].scale[[1, 4]])
    assert "inner.zero" in dict(cut.named_buffers())
    assert (cut.in_channels, cut.out_channels, cut.groups) == (3, 2, 1)
    assert (small[2].in_channels, small[2].out_channels, small[2].groups) == (2, 2, 2)


def test_tensors_of_which_nothing_is_known_are_refused() -> None:
    net = nn.Sequential(Undeclared(3, 6, 1), nn.Conv2d(6, 2, 1))
    groups = channel_groups(net, CIFAR.input_shape)
    with pytest.raises(SpaceError, match=r"layer '0' of type Undeclared .*'scale' .*`per_output`"):
        sliced(net, {"0": [0]}, groups)
    plain = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1))
    parametrize.register_parametrization(plain[0], "weight", nn.Identity())
    groups = channel_groups(plain, CIFAR.input_shape)
    with pytest.raises(SpaceError, match=r"'parametrizations.weight.original' .*remove param"):
        sliced(plain, {"0": [0]}, groups)


def test_tensors_of_two_layers_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    net[2].weight = net[0].weight
    groups = channel_groups(net, CIFAR.input_shape)
    with pytest.raises(SpaceError, match="layers '0' and '2' share a tensor"):
        sliced(net, {"0": [0]}, groups)


REFUSED: dict[str, tuple[Kept, str]] = {
    "unknown": ({"O": [1]}, r"there is no channel group 'O'; use a name that"),
    "near": ({"1.con": [1]}, r"no channel group '1.con'; did you mean '1.conv'\?"),
    "none": ({"0.conv": []}, r"has 4 channels, .* 0 to 3 can be kept, .*; got \[\]"),
    "too large": ({"0.conv": [0, 4]}, r"from 0 to 3 can be kept, .* got \[0, 4\]"),
    "negative": ({"0.conv": [-1]}, r"got \[-1\]"),
    "repeated": ({"0.conv": [1, 1]}, r"distinct ones .* got \[1, 1\]"),
    "input": ({"0.conv:in": [0]}, r"'0.conv:in' cannot be cut \(network input\); leave it out"),
    "output": ({"2": [0]}, r"'2' cannot be cut \(network output\)"),
}


@pytest.mark.parametrize(("kept", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_kept_is_refused(kept: Kept, message: str) -> None:
    net = nn.Sequential(conv_norm(3, 4), conv_norm(4, 5), nn.Conv2d(5, 2, 1))
    groups = channel_groups(net, CIFAR.input_shape)
    with pytest.raises(SpaceError, match=message):
        sliced(net, kept, groups)


def test_groups_of_another_network_are_refused() -> None:
    net = nn.Sequential(conv_norm(3, 4), nn.Conv2d(4, 2, 1))
    groups = channel_groups(net, CIFAR.input_shape)
    small = sliced(net, {"0.conv": [0, 1]}, groups)
    with pytest.raises(SpaceError, match=r"'0.conv' is not of this network: '0.conv' there has 2"):
        sliced(small, {"0.conv": [0]}, groups)
    with pytest.raises(SpaceError, match=r"not of this network: '0.conv' there has 0"):
        sliced(nn.Sequential(nn.Conv2d(3, 4, 1)), {"0.conv": [0]}, groups)


def test_nothing_kept_is_a_copy_and_everything_kept_changes_nothing() -> None:
    net = randomized(nn.Sequential(conv_norm(3, 4), nn.Conv2d(4, 2, 1)))
    groups = channel_groups(net, CIFAR.input_shape)
    for kept in ({}, {"0.conv": [3, 2, 1, 0]}):
        same = sliced(net, kept, groups)
        assert distance(net, same, CIFAR.input_shape) == 0
        assert not {id(p) for p in net.parameters()} & {id(p) for p in same.parameters()}
