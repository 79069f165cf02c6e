"""The portable kernels against compositions of PyTorch's own functions, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.kernels import Kernels, Normalization, Term, native_kernels, portable_kernels
from nas.kernels.portable.channels import moments


@pytest.fixture(params=["portable", "native"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    found = native_kernels() if request.param == "native" else portable_kernels()
    if found is None:
        pytest.skip("no C++ compiler here, so no native kernels")
    return found


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def same(one: Callable[[], Tensor], other: Callable[[], Tensor], *leaves: Tensor) -> None:
    outputs = [one(), other()]
    assert torch.allclose(*outputs, rtol=1e-10, atol=1e-12)
    weights = torch.randn_like(outputs[0])
    gradients = [torch.autograd.grad((y * weights).sum(), leaves) for y in outputs]
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-11)


def normalized(z: Tensor) -> Tensor:
    return F.batch_norm(z, None, None, training=True, eps=1e-5)


def statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    mean, var = moments(z.detach())
    return mean, torch.rsqrt(var + 1e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (5, 1, 2), (5, 2, 1), (3, 2, 2)]
)
@pytest.mark.parametrize("shared", [True, False])
def test_separable(
    kernels: Kernels, size: tuple[int, int], kernel: int, stride: int, dilation: int, shared: bool
) -> None:
    edges, c = 3, 2
    x = random(4, c if shared else edges * c, *size)
    depthwise, pointwise = random(edges * c, 1, kernel, kernel), random(edges * c, c, 1, 1)

    def fused() -> Tensor:
        value, _, _ = kernels.separable(
            x,
            Normalization(*statistics(x), True),
            depthwise,
            pointwise,
            stride=stride,
            dilation=dilation,
            edges=edges,
        )
        return value

    def plain() -> Tensor:
        a = F.relu(normalized(x))
        a = a.repeat(1, edges, 1, 1) if shared else a
        padding = dilation * (kernel - 1) // 2
        d = F.conv2d(a, depthwise, None, stride, padding, dilation, edges * c)
        return F.conv2d(d, pointwise, groups=edges)

    same(fused, plain, x, depthwise, pointwise)


@pytest.mark.parametrize("size", [(6, 6), (5,)])
def test_pointwise(kernels: Kernels, size: tuple[int, ...]) -> None:
    x, weight = random(3, 4, *size), random(6, 4)
    conv = F.conv2d if len(size) == 2 else F.conv1d
    shape = (6, 4, *([1] * len(size)))
    same(
        lambda: kernels.pointwise(x, weight)[0],
        lambda: conv(F.relu(x), weight.view(shape)),
        x,
        weight,
    )


def test_moments_are_those_of_the_value(kernels: Kernels) -> None:
    x, weight = random(3, 4, 6, 6), random(6, 4)
    for y, mean, var in (
        kernels.pointwise(x, weight),
        kernels.max_pool(x, 2),
        kernels.avg_pool(x, 1),
    ):
        if kernels.name == "portable":  # not computed before someone asks
            assert mean is None
            assert var is None
            mean, var = moments(y)
        expected = torch.var_mean(y, (0, 2, 3), correction=0)
        assert torch.allclose(var, expected[0], rtol=1e-10)
        assert torch.allclose(mean, expected[1], rtol=1e-10, atol=1e-14)
        assert not mean.requires_grad
        assert not var.requires_grad


def test_a_mixture_of_every_kind_of_term(kernels: Kernels) -> None:
    own, shared, some, bare = (
        random(3, 6, 4, 4),
        random(3, 2, 4, 4),
        random(3, 4, 4, 4),
        random(3, 2, 4, 4),
    )
    weights = random(3, 4)

    def fused() -> Tensor:
        terms = [
            Term(own, Normalization(*statistics(own), True), (0, 1, 2), False),
            Term(shared, Normalization(*statistics(shared), True), (0, 1, 2), True),
            Term(some, Normalization(*statistics(some), True), (0, 2), False),
            Term(bare, None, (1, 2), True),
        ]
        return torch.stack(kernels.mixture(terms, weights))

    def plain() -> Tensor:
        parts = [normalized(own).chunk(3, 1), [normalized(shared)] * 3]
        first, second = normalized(some).chunk(2, 1)
        out = [weights[e, 0] * parts[0][e] + weights[e, 1] * parts[1][e] for e in range(3)]
        out[0] = out[0] + weights[0, 2] * first
        out[2] = out[2] + weights[2, 2] * second + weights[2, 3] * bare
        out[1] = out[1] + weights[1, 3] * bare
        return torch.stack(out)

    same(fused, plain, own, shared, some, bare, weights)


@pytest.mark.parametrize("size", [(6, 6), (2, 2), (1, 3)])
@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_normalized(kernels: Kernels, size: tuple[int, int], through: bool, affine: bool) -> None:
    z, weight, bias = random(5, 4, *size), random(4), random(4)
    leaves = (z, weight, bias) if affine else (z,)
    constants = torch.linspace(-0.5, 0.7, 4).double(), torch.linspace(0.6, 1.9, 4).double()
    mean, rstd = statistics(z) if through else constants
    given = (weight, bias) if affine else (None, None)

    def ours() -> Tensor:
        return kernels.normalized(z, Normalization(mean, rstd, through, *given))

    def plain() -> Tensor:
        if through:
            return F.batch_norm(z, None, None, *given, training=True, eps=1e-5)
        return F.batch_norm(z, mean, rstd**-2, *given, training=False, eps=0.0)

    same(ours, plain, *leaves)
