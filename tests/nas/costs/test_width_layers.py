"""What an agent is told of the layers whose widths are decided on."""

from __future__ import annotations

from nas.compression import Compressed, Compression
from nas.costs import WidthLayer, width_layers
from nas.dataspec import DataSpec
from nas.space import blueprint
from search_spaces.superbit import BackboneSpace

DATA = DataSpec((3, 32, 32), "classes", 10)


def layers(backbone: str, **settings: int) -> dict[str, WidthLayer]:
    rules = Compression(None, None, widths=(0.5, 1.0))
    space = Compressed(BackboneSpace(DATA, backbone, settings), rules)
    found = width_layers(blueprint(space), DATA.input_shape)
    assert set(found) == set(space.decisions)
    return found


def test_a_residual_network_has_the_first_convolution_of_each_block() -> None:
    found = list(layers("resnet20", channels=4).values())
    sizes = [(4, 4, 32, 1)] * 3 + [(8, 4, 16, 2)] + [(8, 8, 16, 1)] * 2
    sizes += [(16, 8, 8, 2)] + [(16, 16, 8, 1)] * 2
    assert found == [WidthLayer(0, out, into, side, side, s, 3) for out, into, side, s in sizes]


def test_a_plain_network_has_all_but_the_last_layer() -> None:
    found = list(layers("vgg16").values())
    assert {each.kind for each in found} <= {0, 2}
    assert found[0] == WidthLayer(0, 64, 3, 32, 32, 1, 3)
