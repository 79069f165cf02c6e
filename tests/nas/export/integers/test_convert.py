"""A network of integers computes what the trained one does, layer by layer."""

import copy

import pytest
import torch
from torch import Tensor, nn

from nas.compression.quantizer import Quantizer
from nas.export.base import UnfitError
from nas.export.integers import IntegerLayer, integer_network, quantized_layers
from nas.export.integers.convert import integer_layers
from tests.nas.export.integers.made import SHAPE, quantized, small

NORMS = {"body.1": "body.2", "stem.0": "stem.1", "last.0": "last.1", "hidden.0": "hidden.1"}


@torch.no_grad()
def inputs_of(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each quantized layer of the network reads."""
    found: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(lambda _, given, name=name: found.update({name: given[0]}))
        for name, layer in quantized_layers(net).items()
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 2), (2, 8), (8, 2), (7, 5), (8, None)])
def test_every_layer_computes_what_it_did(bits: tuple[int, int | None]) -> None:
    net = small(*bits)
    layers = integer_layers(integer_network(net, SHAPE))
    read = inputs_of(net, torch.randn(8, *SHAPE))
    assert set(layers) == set(read) == {*NORMS, "body.0", "head"}
    for name, x in read.items():
        layer = layers[name]
        expected = net.get_submodule(name)(x)
        if name in NORMS:
            expected = net.get_submodule(NORMS[name])(expected)
        torch.testing.assert_close(layer(x), expected, atol=3e-6, rtol=3e-6)


def test_the_weights_stay_the_same_integers() -> None:
    net = small(8, 8)
    before = copy.deepcopy(net.state_dict())
    layers = integer_layers(integer_network(net, SHAPE))
    for name, layer in quantized_layers(net).items():
        quantizer = layer.weight_quantizer
        assert isinstance(quantizer, Quantizer)
        unit = quantizer.scale * quantizer.grid.step(8)
        codes = torch.round(quantizer(layer.weight) / unit)
        torch.testing.assert_close(layers[name].codes.abs().float(), codes.abs())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_only_integers_and_vectors_are_stored() -> None:
    found = integer_network(small(4, 4), SHAPE)
    for name, layer in integer_layers(found).items():
        kinds = {key: value.dtype for key, value in layer.state_dict().items()}
        assert kinds["codes"] == torch.int8
        assert layer.codes.abs().max() <= (127 if name in ("stem.0", "head") else 7)
        assert layer.scale.shape == (len(layer.codes),)
    floats = [v for v in found.state_dict().values() if v.is_floating_point()]
    assert all(sum(size > 1 for size in value.shape) <= 1 for value in floats)
    assert not [m for m in found.modules() if isinstance(m, Quantizer)]


def test_a_normalization_of_any_sign_folds() -> None:
    norm = nn.BatchNorm2d(4)
    net = quantized(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 2, 1)), SHAPE)
    with torch.no_grad():
        norm = net.get_submodule("1")
        norm.weight.copy_(torch.tensor([2.0, -1.5, 0.0, 1e-30]))
        norm.bias.copy_(torch.tensor([0.3, 0.1, -0.7, 1e4]))
    found = integer_network(net, SHAPE)
    x = torch.randn(4, *SHAPE)
    layer = found.get_submodule("0")
    assert isinstance(layer, IntegerLayer)
    assert bool((layer.scale > 0).all())
    expected = norm(net.get_submodule("0")(x))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-6)
    assert isinstance(found.get_submodule("1"), nn.Identity)


def test_statistics_of_the_batch_and_no_affine_parameters() -> None:
    kinds = {"track_running_stats": False}, {"affine": False}
    for settings, folded in zip(kinds, (False, True), strict=True):
        net = quantized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, **settings)), SHAPE)
        found = integer_network(net, SHAPE)
        assert isinstance(found.get_submodule("1"), nn.Identity) == folded
        x = torch.randn(4, *SHAPE)
        torch.testing.assert_close(found(x), net(x), atol=1e-5, rtol=0)


def test_a_network_that_is_one_layer() -> None:
    net = quantized(nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"), SHAPE)
    found = integer_network(net, SHAPE)
    assert isinstance(found, IntegerLayer)
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(found(x), net(x), atol=1e-5, rtol=0)


def test_other_layers_are_left_alone() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.plain = nn.Linear(4, 4), nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.plain(self.a(x))
            return out

    net = quantized(Mixed(), (4,))
    found = integer_network(net, (4,))
    assert found.get_submodule("plain") is not net.get_submodule("plain")
    x = torch.randn(3, 4)
    torch.testing.assert_close(found(x), net(x), atol=1e-5, rtol=0)


def test_midrise_is_refused() -> None:
    with pytest.raises(UnfitError, match="lie on the grid midrise"):
        integer_network(small(4, 4, grid="midrise"), SHAPE)
