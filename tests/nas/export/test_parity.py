"""The comparison sees every kind of difference, and nothing else."""

import math

import pytest
import torch
from torch import Tensor, nn

from nas.compression import Compression
from nas.errors import NasError
from nas.export import parity


class Affine(nn.Module):
    """scale * inputs, whose differences are known in closed form."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs


def test_inputs_depend_on_the_seed_alone() -> None:
    first = list(parity.random_inputs((1, 3), 2, seed=0))
    torch.rand(5)
    again = list(parity.random_inputs((1, 3), 2, seed=0))
    other = list(parity.random_inputs((1, 3), 2, seed=1))
    assert [tuple(x.shape) for x in first] == [(1, 1, 3), (4, 1, 3)] * 2
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[2])


def test_same_is_zero() -> None:
    assert parity.largest_difference(Affine(3.0), Affine(3.0), (2, 5)) == 0.0


def test_small_outputs_count_absolutely_and_large_ones_relatively() -> None:
    inputs = torch.cat([x.flatten() for x in parity.random_inputs((7,), 2, seed=3)])
    small = parity.largest_difference(Affine(1e-3), Affine(2e-3), (7,), seed=3)
    assert small == pytest.approx(1e-3 * float(inputs.abs().max()), rel=1e-5)
    large = parity.largest_difference(Affine(1e6), Affine(1.01e6), (7,), seed=3)
    assert large == pytest.approx(0.01, rel=1e-4)


def test_one_wrong_output_among_many_is_seen() -> None:
    def wrong(inputs: Tensor) -> Tensor:
        out = inputs.clone()
        if len(out) == 4:  # at the larger batch only
            out[3, -1] += 0.5
        return out

    found = parity.largest_difference(Affine(), wrong, (9,))
    assert 0.1 < found <= 0.5


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x * math.nan,
        lambda x: x * math.inf,
        lambda x: x[:1].expand(len(x), *x.shape[1:])[:, :1],
        lambda x: (x, x),
        lambda x: None,
    ],
)
def test_nan_and_other_shapes_are_infinitely_far(run: parity.Run) -> None:
    assert parity.largest_difference(Affine(), run, (4,)) == math.inf


def test_nested_outputs_match_flat_ones() -> None:
    class Nested(nn.Module):
        def forward(self, inputs: Tensor) -> object:
            return {"logits": inputs, "rest": (inputs + 1, [None, inputs.sum(1)])}

    flat = parity.largest_difference(Nested(), lambda x: [x, x + 1, x.sum(1)], (4,))
    assert flat == 0.0


def test_a_network_without_finite_outputs_is_an_error() -> None:
    with pytest.raises(NasError, match="computes NaN or infinity"):
        parity.largest_difference(Affine(math.nan), Affine(math.nan), (4,))


def test_check_names_format_and_figure() -> None:
    parity.check("onnx", 1e-4)
    for figure in (1.01e-4, math.inf, math.nan):
        with pytest.raises(NasError, match=r"export onnx: .* differ") as caught:
            parity.check("onnx", figure)
        assert f"{figure:.3g}" in str(caught.value)


def test_no_gradients_are_recorded() -> None:
    seen: list[bool] = []

    def run(inputs: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return inputs

    parity.largest_difference(Affine(), run, (4,))
    assert seen
    assert not any(seen)
    assert torch.is_grad_enabled()


def test_a_network_in_quantized_numbers_may_be_off_by_a_level() -> None:
    assert parity.tolerance_of(two_layers(), 1e-4) == 1e-4
    weights = Compression((4,), None).apply(two_layers())
    assert parity.tolerance_of(weights, 1e-4) == 1e-4
    inputs = Compression((4,), (4,)).apply(two_layers())
    assert parity.tolerance_of(inputs, 1e-4) == parity.ONE_LEVEL


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
