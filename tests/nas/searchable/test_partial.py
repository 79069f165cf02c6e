import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable import MixedOp, PartialChannels, apply_partial_channels
from nas.searchable.partial import merged
from nas.supernet import Supernet
from search_spaces.darts import DartsSpace

SIZES = [(8,), (7,), (1,), (8, 8), (7, 8), (8, 5), (7, 7), (1, 3)]


class Ten(nn.Module):
    """Ten times every ``stride``-th position: tells operated channels from the bypass."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        step = slice(None, None, self.stride)
        return 10 * (x[..., step] if x.dim() == 3 else x[..., step, step])


def pooled(channel: Tensor, stride: int) -> Tensor:
    """Maxima of blocks of ``stride``, position by position; the last block may be smaller."""
    sizes = [math.ceil(s / stride) for s in channel.shape]
    out = torch.empty(sizes)
    for place in product(*map(range, sizes)):
        block = tuple(slice(p * stride, (p + 1) * stride) for p in place)
        out[place] = channel[block].max()
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [2, 4])
def test_each_output_channel_comes_from_where_the_paper_says(
    k: int, stride: int, size: tuple[int, ...]
) -> None:
    x = torch.randn(2, 8, *size)
    output = PartialChannels(Ten(stride), k, stride)(x)
    assert output.shape == (2, 8, *(math.ceil(s / stride) for s in size))
    part = 8 // k
    for n, j in product(range(2), range(8)):
        if j % k == 0:
            expected = Ten(stride)(x[n : n + 1, j // k : j // k + 1])[0, 0]
        else:
            # The bypassed channels fill the places between, block by block of C/k.
            expected = pooled(x[n, (j % k) * part + j // k], stride)
        assert torch.equal(output[n, j], expected)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_the_shuffle_is_its_index_map(k: int) -> None:
    x = torch.arange(6.0).view(1, 6, 1)
    found = merged(x[:, : 6 // k], x[:, 6 // k :]).flatten().tolist()
    assert found == [(j % k) * (6 // k) + j // k for j in range(6)]


def test_odd_sizes_agree_with_every_operation_of_the_darts_space() -> None:
    space = DartsSpace(DataSpec((2, 7, 5), "classes", 3), channels=4, cells=3, nodes=1)
    net = space.supernet()
    apply_partial_channels(net, 2)
    supernet = Supernet(net)
    arch = {
        name: Weights(torch.full((1, len(d)), 1 / len(d)), tuple(range(len(d))))
        for name, d in supernet.decisions.items()
    }
    assert supernet(torch.randn(2, 2, 7, 5), arch).shape == (2, 3)


def conv_edge(channels: int | None, stride: int = 1) -> MixedOp:
    decision = Decision("edge", ("a", "b"))
    if channels is None:
        return MixedOp(decision, lambda name: nn.Conv1d(3, 3, 1))
    return MixedOp(decision, lambda name, c: nn.Conv1d(c, c, 1, stride), channels, stride)


def test_every_mixed_operation_that_keeps_its_channels_is_wrapped() -> None:
    net = nn.ModuleDict(
        {"x": nn.Sequential(conv_edge(4), nn.ReLU()), "y": conv_edge(8, 2), "z": conv_edge(None)}
    )
    assert apply_partial_channels(net, 2) == ["x.0", "y"]
    wrapped = net["x"].get_submodule("0")
    assert isinstance(wrapped, PartialChannels)
    assert isinstance(net["y"], PartialChannels)
    assert isinstance(net["z"], MixedOp)
    assert (wrapped.k, wrapped.stride) == (2, 1)
    assert (net["y"].k, net["y"].stride) == (2, 2)
    inner = net["y"].inner
    assert isinstance(inner, MixedOp)
    assert inner.channels == 4
    assert all(isinstance(op, nn.Conv1d) and op.in_channels == 4 for op in inner.ops.values())


def test_partial_channels_leave_the_decisions_alone() -> None:
    net = DartsSpace(DataSpec((1, 8, 8), "classes", 2), channels=4, cells=3, nodes=2).supernet()
    before = Supernet(net).decisions
    assert len(apply_partial_channels(net, 4)) == 3 * (2 + 3)
    assert Supernet(net).decisions == before


@pytest.mark.parametrize(
    ("net", "k", "message"),
    [
        (nn.Sequential(conv_edge(6)), 4, r"6 channels at '0' are not divisible by k=4"),
        (nn.Sequential(conv_edge(None)), 4, r"set strategy.partial_channels=null"),
        (nn.Sequential(conv_edge(4)), 1, r"needs k >= 2, got 1"),
    ],
)
def test_impossible_settings_are_refused(net: nn.Module, k: int, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        apply_partial_channels(net, k)
