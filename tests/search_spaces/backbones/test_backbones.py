from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from nas.compression import channel_groups
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.backbones import (
    BACKBONES,
    backbone,
    cifar_densenet,
    cifar_resnet,
    torchvision_model,
)
from search_spaces.backbones.vision import NAMES

SMALL: dict[str, dict[str, int]] = {
    **{name: {} if name in NAMES else {"channels": 2} for name in BACKBONES},
    "densenet40": {"channels": 2, "growth": 2},
}


def on_meta(name: str, size: int, outputs: int) -> tuple[nn.Module, tuple[int, ...]]:
    data = DataSpec((3, size, size), "classes", outputs)
    with torch.device("meta"):
        net = backbone(name, data)
    assert all(tensor.is_meta for tensor in net.state_dict().values())
    return net, data.input_shape


# Bit operations at 32 bits times 32 bits as published (2101.04935, tables 1 and 2), and the unit
# in which they are printed; this tells projections from parameter-free shortcuts.
BOPS = {
    "resnet20": (32, 100, 41798.6e6, 0.1e6),
    "resnet56": (32, 100, 128771.7e6, 0.1e6),
    "resnet18": (224, 1000, 1857.6e9, 0.1e9),
    "mobilenet_v2": (224, 1000, 308.0e9, 0.1e9),
}


@pytest.mark.parametrize(("name", "row"), BOPS.items(), ids=BOPS.keys())
def test_bit_operations_are_the_published_ones(
    name: str, row: tuple[int, int, float, float]
) -> None:
    size, outputs, published, unit = row
    bops = 1024 * count_macs(*on_meta(name, size, outputs))
    assert round(bops / unit) == round(published / unit)


def test_macs_of_resnet20_in_full() -> None:
    assert count_macs(*on_meta("resnet20", 32, 100)) == 40_818_944


# millions of parameters as the papers print them (1512.03385 table 6, 1603.05027, 1608.06993
# table 2, torchvision's documentation)
PARAMETERS = {
    "resnet20": (32, 10, 0.27, 0.01),
    "resnet32": (32, 10, 0.46, 0.01),
    "resnet56": (32, 10, 0.85, 0.01),
    "resnet110": (32, 10, 1.7, 0.1),
    "resnet164": (32, 10, 1.7, 0.1),
    "densenet40": (32, 10, 1.0, 0.1),
    "resnet18": (224, 1000, 11.689512, 1e-6),
    "resnet34": (224, 1000, 21.797672, 1e-6),
    "resnet50": (224, 1000, 25.557032, 1e-6),
    "mobilenet_v2": (224, 1000, 3.504872, 1e-6),
}


@pytest.mark.parametrize(("name", "row"), PARAMETERS.items(), ids=PARAMETERS.keys())
def test_parameters_are_the_published_ones(name: str, row: tuple[int, int, float, float]) -> None:
    size, outputs, published, unit = row
    net, _ = on_meta(name, size, outputs)
    assert count_parameters(net) / 1e6 == pytest.approx(published, abs=1.1 * unit)


def test_vgg16_by_its_table() -> None:
    net, shape = on_meta("vgg16", 32, 10)
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    sizes = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]
    pairs = list(zip([3, *widths], widths, strict=False))
    macs = sum(9 * a * b * size**2 for (a, b), size in zip(pairs, sizes, strict=True))
    assert count_macs(net, shape) == macs + 5120
    assert round(count_macs(net, shape) / 1e6) == 313
    assert count_parameters(net) == sum(9 * a * b + 2 * b for a, b in pairs) + 5120 + 10


def residual_parameters(channels: int, blocks: int, bottleneck: bool, outputs: int) -> int:
    """Counted layer by layer, from section 4.2 of 1512.03385."""
    total, width = 27 * channels + 2 * channels, channels
    for stage in range(3):
        inner = channels * 2**stage
        made = 4 * inner if bottleneck else inner
        for _ in range(blocks):
            if bottleneck:
                total += width * inner + 9 * inner**2 + inner * made + 2 * (2 * inner + made)
            else:
                total += 9 * width * inner + 9 * inner**2 + 4 * inner
            total += (width * made + 2 * made) * (width != made)
            width = made
    return total + (width + 1) * outputs


@pytest.mark.parametrize(("depth", "bottleneck", "blocks"), [(8, False, 1), (38, True, 4)])
@pytest.mark.parametrize("channels", [3, 8])
def test_residual_networks_of_any_depth_and_width(
    depth: int, bottleneck: bool, blocks: int, channels: int
) -> None:
    data = DataSpec((3, 32, 32), "classes", 7)
    with torch.device("meta"):
        net = cifar_resnet(data, depth, bottleneck, channels)
    assert count_parameters(net) == residual_parameters(channels, blocks, bottleneck, 7)
    layers = [m for n, m in net.named_modules() if "shortcut" not in n]
    weighted = [m for m in layers if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth


def test_a_densenet_has_as_many_layers_as_its_depth_says() -> None:
    data = DataSpec((3, 32, 32), "classes", 10)
    with torch.device("meta"):
        net = cifar_densenet(data, 22, 5, 9)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 22
    assert isinstance(net.classifier, nn.Linear)
    assert net.classifier.in_features == 9 + 18 * 5


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(
    ("channels", "kind", "outputs"), [(3, "classes", 7), (1, "multi-label", 2)]
)
def test_outputs_are_scores(name: str, channels: int, kind: Any, outputs: int) -> None:
    data = DataSpec((channels, 33, 32), kind, outputs)
    net = backbone(name, data, **SMALL[name]).eval()
    with torch.no_grad():
        assert net(torch.randn(2, *data.input_shape)).shape == (2, outputs)


@pytest.mark.parametrize("name", ["resnet20", "resnet164", "vgg16", "densenet40"])
@pytest.mark.parametrize(
    "data",
    [
        DataSpec((2, 30), "classes", 3),
        DataSpec((3, 9, 12), "dense", 4),
        DataSpec((2, 9), "image", 1),
    ],
    ids=str,
)
def test_sequences_and_outputs_at_positions(name: str, data: DataSpec) -> None:
    net = backbone(name, data, **SMALL[name]).eval()
    with torch.no_grad():
        output = net(torch.randn(2, *data.input_shape))
    assert output.shape == (2, data.outputs, *data.output_size)


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_of_all_are_known(name: str) -> None:
    net, shape = on_meta(name, 64, 10)
    groups = channel_groups(net, shape)
    assert {group.fixed for group in groups} == {"", "network input", "network output"}
    made = {member.module for group in groups for member in group.producers}
    layers = {n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    depthwise = {n for n in layers if getattr(net.get_submodule(n), "groups", 1) > 1}
    assert made == layers - depthwise


def test_weights_are_spread_so_that_features_keep_their_scale() -> None:
    net = backbone("vgg16", DataSpec((3, 32, 32), "classes", 10), channels=16)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels > 3:
            fan_in = module.weight[0].numel()
            assert float(module.weight.detach().var()) == pytest.approx(2 / fan_in, rel=0.1)


IMAGES = DataSpec((3, 32, 32), "classes", 10)
REFUSED: dict[str, tuple[Any, str]] = {
    "name": (partial(backbone, "resnet21", IMAGES), "unknown backbone 'resnet21'; .* did you mean"),
    "argument": (
        partial(backbone, "resnet20", IMAGES, width=2),
        "'resnet20' takes bottleneck, channels, got 'width'",
    ),
    "no arguments": (
        partial(backbone, "resnet18", IMAGES, channels=2),
        "'resnet18' takes no arguments, got 'channels'",
    ),
    "fixed argument": (
        partial(backbone, "resnet164", IMAGES, depth=2, channels=2),
        "'resnet164' takes channels, got 'depth'",
    ),
    "depth": (
        partial(cifar_resnet, IMAGES, 30),
        r"a basic residual network is 6n \+ 2, got 30; the nearest are 26 and 32",
    ),
    "bottlenecks": (
        partial(cifar_resnet, IMAGES, 20 + 2, True),
        r"a bottleneck residual network is 9n \+ 2, got 22; the nearest are 20 and 29",
    ),
    "no block": (partial(cifar_resnet, IMAGES, 2), "got 2; the nearest are 8 and 14"),
    "channels": (partial(cifar_resnet, IMAGES, channels=0), "channels .* at least 1, got 0"),
    "dense depth": (
        partial(cifar_densenet, IMAGES, 41),
        r"DenseNet with 3 blocks is 3n \+ 4, got 41; the nearest are 40 and 43",
    ),
    "growth": (partial(cifar_densenet, IMAGES, growth=0), "growth .* at least 1, got 0"),
    "torchvision": (
        partial(torchvision_model, IMAGES, "resnet81"),
        "unknown torchvision network 'resnet81'; known are .* did you mean 'resnet18'",
    ),
    "sequences": (
        partial(backbone, "resnet18", DataSpec((3, 32), "classes", 10)),
        r"resnet18 of torchvision gives class scores of images, .* 1 spatial .* such as resnet20",
    ),
    "positions": (
        partial(backbone, "mobilenet_v2", DataSpec((3, 32, 32), "dense", 10)),
        "mobilenet_v2 of torchvision gives class scores .* kind 'dense'",
    ),
    "output size": (
        partial(backbone, "resnet20", DataSpec((3, 32, 32), "image", 3, output_size=(64, 64))),
        "gives outputs of its inputs' size 32x32, the data has 64x64",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_network_is_refused(build: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        build()
