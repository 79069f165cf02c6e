from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.costs import count_parameters
from nas.dataspec import DataSpec
from search_spaces.darts import DartsSpace, Network
from search_spaces.darts.cells import DropPath
from search_spaces.darts.network import AuxiliaryHead, CifarStem, ImageNetStem

CIFAR = DataSpec((3, 32, 32), "classes", 10)


def network(name: str = "DARTS_V2", **arguments: int | bool) -> Network:
    sizes = {"network_channels": 4, "network_cells": 6, **arguments}
    space = DartsSpace(CIFAR, **sizes)  # type: ignore[arg-type]
    return space.build(space.named()[name])


# stems


@pytest.mark.parametrize("dims", [1, 2])
def test_the_cifar_stem_keeps_the_size_and_triples_the_channels(dims: int) -> None:
    stem = CifarStem(3, 4, dims)
    first, second = stem(torch.randn(2, 3, *[9] * dims))
    assert first is second
    assert first.shape == (2, 12, *[9] * dims)
    assert stem.outputs == (12, 12)
    assert sum(p.numel() for p in stem.parameters()) == 3 * 12 * 3**dims + 2 * 12


@pytest.mark.parametrize("dims", [1, 2])
def test_the_imagenet_stem_gives_a_quarter_and_an_eighth_of_the_size(dims: int) -> None:
    stem = ImageNetStem(3, 4, dims)
    first, second = stem(torch.randn(2, 3, *[33] * dims))
    assert first.shape == (2, 4, *[9] * dims)
    assert second.shape == (2, 4, *[5] * dims)
    window = 3**dims
    norms = 2 * (2 + 4 + 4)
    assert sum(p.numel() for p in stem.parameters()) == window * (3 * 2 + 2 * 4 + 4 * 4) + norms


def test_the_first_cell_reduces_its_first_input_after_the_imagenet_stem() -> None:
    space = DartsSpace(CIFAR, network_channels=4, network_cells=3, stem="imagenet")
    net = space.build(space.named()["DARTS_V2"])
    assert type(net.cells[0].preprocess0).__name__ == "FactorizedReduce"
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)


# the macro structure


@pytest.mark.parametrize(
    ("cells", "reductions"), [(3, (1, 2)), (6, (2, 4)), (8, (2, 5)), (14, (4, 9)), (20, (6, 13))]
)
def test_a_third_and_two_thirds_reduce(cells: int, reductions: tuple[int, int]) -> None:
    with torch.device("meta"):
        net = network(network_cells=cells, auxiliary=False)
    widths = [cell.preprocess1.conv.out_channels for cell in net.cells]
    first, second = reductions
    assert widths == [4] * first + [8] * (second - first) + [16] * (cells - second)
    after = [i for i, c in enumerate(net.cells) if type(c.preprocess0).__name__[0] == "F"]
    assert after == [i + 1 for i in reductions if i + 1 < cells]
    assert net.classifier.in_features == 4 * 16


def test_module_names_are_stable() -> None:
    names = set(network().state_dict())
    for name in (
        "stem.conv.weight",
        "stem.norm.running_mean",
        "cells.0.preprocess0.conv.weight",
        "cells.3.preprocess0.conv2.weight",
        "cells.0.nodes.0.edges.1.depthwise2.weight",
        "auxiliary.features.conv1.weight",
        "auxiliary.classifier.bias",
        "classifier.weight",
    ):
        assert name in names


# the auxiliary head


@pytest.mark.parametrize(("stem", "size"), [("cifar", 8), ("imagenet", 7)])
@pytest.mark.parametrize("dims", [1, 2])
def test_the_auxiliary_head_ends_in_one_position_at_the_papers_size(
    stem: str, size: int, dims: int
) -> None:
    head = AuxiliaryHead(6, 5, stem, dims)  # type: ignore[arg-type]
    seen: list[tuple[int, ...]] = []
    head.features.conv2.register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    assert head(torch.randn(2, 6, *[size] * dims)).shape == (2, 5)
    assert seen == [(2, 768, *[1] * dims)]


def test_the_second_normalization_is_missing_from_the_imagenet_head_alone() -> None:
    def norms(stem: str) -> int:
        head = AuxiliaryHead(6, 5, stem, 2)  # type: ignore[arg-type]
        return sum(isinstance(m, nn.BatchNorm2d) for m in head.modules())

    assert (norms("cifar"), norms("imagenet")) == (2, 1)


def test_the_head_reads_the_features_after_the_second_reduction() -> None:
    net = network().eval()
    x = torch.randn(2, 3, 32, 32)
    seen: list[torch.Tensor] = []
    net.cells[4].register_forward_hook(lambda m, i, o: seen.append(o))
    logits, head = net.forward_with_auxiliary(x)
    assert net.auxiliary is not None
    assert torch.equal(head, net.auxiliary(seen[0]))
    assert torch.equal(logits, net(x))


def test_the_head_is_left_out_of_the_count_and_of_plain_forwards() -> None:
    net, bare = network(), network(auxiliary=False)
    assert (
        count_parameters(net) == count_parameters(bare) == sum(p.numel() for p in bare.parameters())
    )
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    assert net.auxiliary is not None
    assert all(p.grad is None for p in net.auxiliary.parameters())


def test_a_network_without_a_head_says_so() -> None:
    with pytest.raises(ValueError, match="no auxiliary head"):
        network(auxiliary=False).forward_with_auxiliary(torch.randn(1, 3, 32, 32))


# drop-path


def test_every_node_can_drop_its_edges_and_skips_of_stride_1_are_identities() -> None:
    net = network("DARTS_V2")
    nodes = [node for cell in net.cells for node in cell.nodes]
    edges = [edge for node in nodes for edge in node.edges]
    assert len(edges) == 6 * 8
    assert sum(isinstance(edge, nn.Identity) for edge in edges) == 4 * 2 + 2 * 3
    assert all(isinstance(node.drop, DropPath) for node in nodes)


def test_drop_path_is_set_on_all_edges_at_once_and_changes_training_only() -> None:
    net = network()
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        before = net(x)
        net.set_drop_path(0.6)
        assert {m.probability for m in net.modules() if isinstance(m, DropPath)} == {0.6}
        assert not torch.allclose(net(x), before)
        net.set_drop_path(0.0)
        torch.testing.assert_close(net(x), before)
        net.eval()
        plain = net(x)
        net.set_drop_path(0.6)
        assert torch.equal(net(x), plain)
