"""Which normalization a quantized layer takes in: right behind it, and read by nothing else."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.export.base import UnfitError
from nas.export.integers.convert import quantized_layers
from nas.export.integers.norms import norms_behind
from tests.nas.export.integers.made import SHAPE, quantized


class Pair(nn.Module):
    """A convolution, and what ``behind`` does with its outputs."""

    def __init__(self, behind: str) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
        self.behind = behind

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        match self.behind:
            case "the norm":
                return self.b(torch.relu(self.norm(y)))
            case "a sum behind the norm":
                return self.b(self.norm(y) + x)
            case "also a sum":
                return self.b(self.norm(y) + y)
            case "the norm twice":
                return self.b(self.norm(self.norm(y)))
            case "the layer twice":
                return self.b(self.norm(self.a(y)))
            case "an activation":
                return self.b(self.norm(F.silu(y)))
            case _:
                return self.b(y)


CASES = {
    "the norm": {"a": "norm"},
    "a sum behind the norm": {"a": "norm"},
    "also a sum": {},
    "the norm twice": {},
    "the layer twice": {},
    "an activation": {},
    "no norm": {},
}


@pytest.mark.parametrize(("behind", "expected"), CASES.items(), ids=CASES)
def test_what_folds(behind: str, expected: dict[str, str]) -> None:
    net = quantized(Pair(behind), SHAPE)
    assert norms_behind(net, quantized_layers(net), SHAPE) == expected


def test_a_norm_over_another_axis_stays() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.linear(x))

    net = quantized(Sequence(), (5, 4))
    assert norms_behind(net, quantized_layers(net), (5, 4)) == {}


def test_an_auxiliary_head_reads_nothing_that_is_exported() -> None:
    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.auxiliary: nn.Module | None = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.a(x))

        def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.a(x)
            assert self.auxiliary is not None
            return self.norm(y), self.auxiliary(y)

    net = quantized(WithHead(), SHAPE)
    head = net.get_submodule("auxiliary")
    assert norms_behind(net, quantized_layers(net), SHAPE) == {"a": "norm"}
    assert net.get_submodule("auxiliary") is head


def test_what_cannot_be_traced_is_refused_with_a_remedy() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if x.sum() > 0 else x

    net = quantized(Branches(), SHAPE)
    with pytest.raises(UnfitError, match=r"cannot be traced .*formats=\[onnx_float\]"):
        norms_behind(net, quantized_layers(net), SHAPE)
