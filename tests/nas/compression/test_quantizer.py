"""Where tensors are quantized: clipping values, signs, evidence, freezing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.compression.grid import MIDRISE, MIDTREAD
from nas.compression.quantized import QuantizedConv2d, quantized_layer
from nas.compression.quantizer import FIRST_CLIP, Quantizer
from nas.decision import Decision
from nas.kernels import Kernels, native_kernels, portable_kernels

BITS = Decision("layer/weight_bits", (2, 4, 8), "nested")


def bound(quantizer: Quantizer, index: int) -> Quantizer:
    assert quantizer.slot is not None
    values = nn.functional.one_hot(torch.tensor([index]), 3).float()
    quantizer.slot.bind(Weights(values, (index,)))
    return quantizer


def test_the_first_batch_of_a_training_sets_clip_and_sign() -> None:
    quantizer = bound(Quantizer(BITS), 2)
    x = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    quantizer.train()(x)
    assert quantizer.grid.name == "unsigned"
    torch.testing.assert_close(quantizer.scale, FIRST_CLIP * x.square().mean().sqrt())
    before = quantizer.clip.detach().clone()
    quantizer(10 * x - 5)  # later batches change nothing
    torch.testing.assert_close(quantizer.clip.detach(), before)
    signed = bound(Quantizer(BITS), 2)
    signed.train()(x - 0.5)
    assert signed.grid is MIDTREAD


def test_nothing_is_set_by_an_evaluation() -> None:
    quantizer = bound(Quantizer(BITS), 0).eval()
    quantizer(torch.randn(10))
    assert quantizer.clip.item() == FIRST_CLIP
    assert not bool(quantizer.calibrated)


def test_its_state_says_that_it_was_set() -> None:
    first = bound(Quantizer(BITS), 1).train()
    x = torch.rand(50, generator=torch.Generator().manual_seed(0))
    first(x)
    second = bound(Quantizer(BITS), 1)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.train()(x / 9), first(x / 9))


def test_unbound_bits_leave_tensors_as_they_are() -> None:
    quantizer = Quantizer(BITS)
    x = torch.randn(10)
    assert quantizer.train()(x) is x
    assert isinstance(quantizer.freeze(), nn.Identity)


@pytest.mark.parametrize("grid", [MIDTREAD, MIDRISE], ids=lambda grid: grid.name)
@pytest.mark.parametrize("normalized", [False, True])
def test_frozen_it_keeps_one_number_of_bits(grid: object, normalized: bool) -> None:
    quantizer = Quantizer(BITS, grid, normalized).train()  # type: ignore[arg-type]
    w = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    for index, bits in enumerate((2, 4, 8)):
        expected = bound(quantizer, index)(w)
        frozen = quantizer.freeze()
        assert isinstance(frozen, Quantizer)
        assert frozen.bits == (bits,)
        torch.testing.assert_close(frozen.eval()(w), expected)
        assert len(expected.unique()) <= 2**bits


def test_normalized_weights_do_not_depend_on_scale_and_mean() -> None:
    quantizer = bound(Quantizer(BITS, MIDTREAD, normalized=True), 2).train()
    w = torch.randn(200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(quantizer(w), quantizer(3 * w + 2))


def test_thresholds_get_the_evidence_of_the_tensor() -> None:
    quantizer = Quantizer(BITS, MIDTREAD).train()
    assert quantizer.slot is not None
    seen: list[Tensor] = []

    def deferred(evidence: Tensor) -> Weights:
        seen.append(evidence)
        return Weights(torch.tensor([[0.0, 1.0, 0.0]]), (0, 1, 2))

    quantizer.slot.bind(deferred)
    w = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    found = quantizer(w)
    assert seen[0].shape == (1, 2)
    assert 0.1 < float(seen[0].min()) <= float(seen[0].max()) < 0.5
    torch.testing.assert_close(found, bound(quantizer, 1)(w))


def test_a_layer_keeps_its_parameters_and_settings() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=1, groups=2, bias=True)
    layer = quantized_layer(conv, nn.Identity(), nn.Identity())
    assert isinstance(layer, QuantizedConv2d)
    assert layer.weight is conv.weight
    assert layer.bias is conv.bias
    x = torch.randn(2, 4, 9, 9)
    torch.testing.assert_close(layer(x), conv(x))
    torch.testing.assert_close(copy.deepcopy(layer)(x), conv(x))


def test_clip_learns_and_stays_above_zero() -> None:
    quantizer = bound(Quantizer(BITS, MIDTREAD), 1).train()
    w = torch.randn(500, generator=torch.Generator().manual_seed(0))
    quantizer(w)
    with torch.no_grad():
        quantizer.clip.fill_(8.0)  # far too wide for four bits
    optimizer = torch.optim.SGD([quantizer.clip], lr=100.0)
    errors = []
    for _ in range(60):
        loss = (quantizer(w) - w).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.5 * errors[0]
    with torch.no_grad():
        quantizer.clip.fill_(-2.0)
    assert quantizer.scale.item() == 2.0


def passes(kernels: Kernels | None, conv: nn.Conv2d) -> tuple[list[Tensor], int]:
    """Output, gradients and saved bytes of a quantized convolution; in double precision."""
    generator = torch.Generator().manual_seed(0)
    conv = conv.double()
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator))
        if conv.bias is not None:
            conv.bias.zero_()
    weights, inputs = Quantizer(BITS, MIDTREAD).double(), Quantizer(BITS).double()
    layer = quantized_layer(conv, weights, inputs).train()
    rows = []
    for quantizer in (weights, inputs):
        quantizer.use(kernels)
        assert quantizer.slot is not None
        rows.append(torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64, requires_grad=True))
        quantizer.slot.bind(Weights(rows[-1], (0, 1, 2)))
    x = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    leaves = [x, conv.weight, weights.clip, inputs.clip, *rows]
    gradients = torch.autograd.grad(y.square().sum(), leaves)
    return [y.detach(), *gradients], sum(kept.values())


def test_quantizing_again_for_the_backward_pass_changes_nothing_but_memory() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    plain, much = passes(None, conv)
    again, less = passes(portable_kernels(), conv)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert less <= much - 2 * 3 * 8 * 8 * 8


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 3, 5, padding=4, dilation=2, groups=3, bias=False),
        nn.Conv2d(3, 2, 1, stride=2, bias=False),
        nn.Conv2d(3, 4, 3, padding=1),
    ],
    ids=["depthwise", "pointwise", "PyTorch's"],
)
def test_native_layers_agree_and_keep_no_quantized_input(conv: nn.Conv2d) -> None:
    kernels = native_kernels()
    if kernels is None:
        pytest.skip("no C++ compiler")
    plain, much = passes(None, conv)
    native, less = passes(kernels, conv)
    for ours, theirs in zip(native, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert less <= much - 2 * 3 * 8 * 8 * 8


def test_layers_without_an_open_quantizer_compute_in_full_precision() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    layer = quantized_layer(conv, nn.Identity(), Quantizer(8)).eval()
    for part in layer.modules():
        if isinstance(part, Quantizer):
            part.use(native_kernels())
    x = torch.rand(2, 4, 8, 8)
    y = layer(x)
    torch.testing.assert_close(y, conv(layer.input_quantizer(x)))
