"""Convolutions that quantize where they read, beside PyTorch's of what was quantized before."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.compression.grid import MIDRISE, MIDTREAD, UNSIGNED
from nas.kernels import Kernels, Quantization, native_kernels, portable_kernels

pytestmark = pytest.mark.skipif(native_kernels() is None, reason="no C++ compiler")


def native() -> Kernels:
    kernels = native_kernels()
    assert kernels is not None
    return kernels


class Drawn:
    """Numbers of a convolution; ``outputs`` 0 for a depthwise one."""

    def __init__(
        self,
        size: tuple[int, int],
        batch: int,
        channels: int,
        outputs: int,
        kernel: int,
        stride: int,
        dilation: int,
        rungs: int,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        generator = torch.Generator().manual_seed(sum(size) + kernel + channels)
        shape = (outputs, channels, 1, 1) if outputs else (channels, 1, kernel, kernel)

        def draw(*shape: int) -> Tensor:
            values = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return values.to(dtype).requires_grad_()

        bits = (2, 4, 8, 16)[:rungs]
        self.x, self.weight = draw(batch, channels, *size), draw(*shape)
        self.clips = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (1.3, 0.9)]
        self.gates = [draw(rungs), draw(2)]
        self.of_x = Quantization(self.clips[0], self.gates[0], UNSIGNED.levels(bits))
        self.of_weight = Quantization(self.clips[1], self.gates[1], MIDTREAD.levels((2, 8)))
        self.settings = {"stride": stride, "dilation": dilation}

    def run(self, kernels: Kernels) -> list[Tensor]:
        y = kernels.quantized(self.x, self.of_x, self.weight, self.of_weight, **self.settings)
        generator = torch.Generator().manual_seed(1)
        g = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)
        wanted = (self.x, self.weight, *self.clips, *self.gates)
        return [y.detach(), *torch.autograd.grad((g * y).sum(), wanted)]


def agree(drawn: Drawn, tolerance: float) -> None:
    for ours, theirs in zip(drawn.run(native()), drawn.run(portable_kernels()), strict=True):
        assert ours.shape == theirs.shape
        largest = max(1.0, float(theirs.abs().max()))
        assert float((ours - theirs).abs().max()) <= tolerance * largest


@given(
    size=st.one_of(
        st.sampled_from([(2, 2), (4, 4), (8, 8), (16, 16), (32, 32)]),
        st.tuples(st.integers(1, 19), st.integers(1, 19)),
    ),
    batch=st.integers(1, 9),
    channels=st.integers(1, 6),
    outputs=st.sampled_from([0, 0, 1, 3, 9]),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    rungs=st.integers(1, 4),
)
@example((8, 8), 9, 3, 0, 5, 1, 2, 3)  # images in lanes
@example((8, 8), 9, 3, 0, 3, 2, 1, 3)
@example((32, 32), 2, 2, 0, 5, 2, 2, 3)  # whole rows
@example((16, 16), 2, 5, 6, 1, 2, 1, 3)  # pointwise, every second pixel
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_pytorch(
    size: tuple[int, int],
    batch: int,
    channels: int,
    outputs: int,
    kernel: int,
    stride: int,
    dilation: int,
    rungs: int,
) -> None:
    if outputs:
        kernel = dilation = 1
    agree(Drawn(size, batch, channels, outputs, kernel, stride, dilation, rungs), 1e-10)


@pytest.mark.parametrize("outputs", [0, 4])
@pytest.mark.parametrize("size", [(8, 8), (16, 16)])
def test_single_precision_agrees(size: tuple[int, int], outputs: int) -> None:
    kernel = 1 if outputs else 5
    agree(Drawn(size, 8, 4, outputs, kernel, 1, 1, 2, torch.float32), 1e-4)


@pytest.mark.parametrize("size", [(4, 4), (5, 9)])
def test_gradients_of_the_gates_are_those_of_differences(size: tuple[int, int]) -> None:
    # In the gates alone a quantization is smooth: all else passes rounding straight through.
    drawn = Drawn(size, 2, 2, 0, 3, 1, 1, 3)

    def run(of_x: Tensor, of_weight: Tensor) -> Tensor:
        y = native().quantized(
            drawn.x.detach(),
            Quantization(drawn.clips[0].detach(), of_x, drawn.of_x.levels),
            drawn.weight.detach(),
            Quantization(drawn.clips[1].detach(), of_weight, drawn.of_weight.levels),
            stride=1,
            dilation=1,
        )
        assert isinstance(y, Tensor)
        return y

    assert torch.autograd.gradcheck(run, tuple(drawn.gates))


@pytest.mark.parametrize("size", [(8, 8), (9, 13)])
@pytest.mark.parametrize("outputs", [0, 3])
def test_threads_leave_values_as_they_are(size: tuple[int, int], outputs: int) -> None:
    drawn = Drawn(size, 9, 4, outputs, 1 if outputs else 3, 1, 1, 3)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(drawn.run(native()))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_layouts_and_padding_of_the_grid_do_not_matter() -> None:
    drawn = Drawn((8, 8), 3, 4, 0, 3, 1, 1, 2)
    drawn.x = drawn.x.detach().to(memory_format=torch.channels_last).requires_grad_()
    drawn.of_x = Quantization(drawn.clips[0], drawn.gates[0], MIDRISE.levels((2, 4)))
    agree(drawn, 1e-10)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1, "groups": 4, "bias": True},
        {"kernel_size": 3, "padding": 0, "groups": 4},
        {"kernel_size": 3, "padding": "same", "groups": 4},
        {"kernel_size": (3, 5), "padding": (1, 2), "groups": 4},
        {"kernel_size": 9, "padding": 4, "groups": 4},
        {"kernel_size": 3, "padding": 3, "dilation": 3, "groups": 4},
        {"kernel_size": 3, "padding": 1, "stride": (1, 2), "groups": 4},
        {"kernel_size": 3, "padding": 1, "groups": 4, "padding_mode": "circular"},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1, "padding": 1},
    ],
    ids=str,
)
def test_other_layers_stay_with_pytorch(settings: dict[str, object]) -> None:
    layer = nn.Conv2d(4, 4, **{"bias": False, **settings})  # type: ignore[arg-type]
    assert not native().convolves(torch.randn(2, 4, 8, 8), layer)


def test_layers_of_cells_are_served() -> None:
    x = torch.randn(2, 4, 8, 8)
    for layer in (
        nn.Conv2d(4, 4, 5, 2, 4, 2, groups=4, bias=False),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.Conv2d(4, 2, 1, stride=2, bias=False),
    ):
        assert native().convolves(x, layer)
        assert not portable_kernels().convolves(x, layer)
        assert not native().convolves(x.double(), layer)
        assert not native().convolves(x[:0], layer)
