"""Projectors against closed forms, and the checks that catch a product from the wrong side."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.gradients.projector import (
    basis_projected,
    basis_updated,
    leaked,
    projected,
    updated,
)

D, OLD = 40, 10


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def eye(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64)[None]


def recursion(inputs: Tensor, alpha: float) -> Tensor:
    """OWM's own: one column after the other, ``k = P x; P <- P - k k^T / (alpha + x^T k)``."""
    p = eye(len(inputs))[0]
    for x in inputs.T:
        k = p @ x
        p = p - torch.outer(k, k) / (alpha + x @ k)
    return p


def closed(inputs: Tensor, alpha: float) -> Tensor:
    """``I - A (A^T A + alpha I)^{-1} A^T``."""
    system = inputs.T @ inputs + alpha * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    return eye(len(inputs))[0] - inputs @ torch.linalg.solve(system, inputs.T)


def fed(inputs: Tensor, alpha: float, block: int) -> Tensor:
    """Our update, ``block`` columns at a time."""
    p = eye(len(inputs))
    for part in inputs.split(block, 1):
        p = updated(p, part[None], alpha)
    return p[0]


@pytest.mark.parametrize("alpha", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("block", [1, 4, 10])
def test_blocks_the_recursion_and_both_closed_forms_agree(alpha: float, block: int) -> None:
    inputs = normal(0, D, OLD)
    found = fed(inputs, alpha, block)
    other = alpha * torch.linalg.inv(inputs @ inputs.T + alpha * eye(D)[0])
    for expected in (recursion(inputs, alpha), closed(inputs, alpha), other):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("alpha", "most"), [(1.0, 3e-2), (0.1, 3e-3), (1e-3, 1e-4)])
def test_old_outputs_hardly_change_and_learning_goes_on(alpha: float, most: float) -> None:
    inputs, gradient = normal(0, D, OLD), normal(1, 7, D)
    p = fed(inputs, alpha, 4)
    change = projected(gradient[None], p[None])[0]
    assert float((change @ inputs).norm() / (gradient @ inputs).norm()) <= most
    assert float((gradient * change).sum()) > 0
    eigenvalues = torch.linalg.eigvalsh(p)
    assert float(eigenvalues.min()) > 0
    assert float(eigenvalues.max()) <= 1 + 1e-12


def test_the_trace_counts_what_is_free() -> None:
    assert float(fed(normal(0, D, OLD), 0.1, 5).trace()) == pytest.approx(D - OLD, abs=0.1)


def ratio(change: Tensor, gradient: Tensor, inputs: Tensor) -> float:
    return float((change @ inputs).norm() / (gradient @ inputs).norm())


def test_the_wrong_side_is_a_shape_error_or_protects_nothing() -> None:
    inputs, p = normal(0, D, OLD), fed(normal(0, D, OLD), 1e-3, 5)[None]
    oblong, square = normal(1, 7, D), normal(1, D, D)
    with pytest.raises(RuntimeError):
        p @ oblong
    with pytest.raises(RuntimeError):
        projected(oblong.T[None], p)
    assert ratio(projected(oblong[None], p)[0], oblong, inputs) <= 1e-4
    assert ratio(projected(square[None], p)[0], square, inputs) <= 1e-4
    assert ratio((p @ square)[0], square, inputs) > 0.5  # silent, and wrong


def test_the_mean_of_samples_protects_the_mean_alone() -> None:
    inputs, gradient = normal(0, D, OLD), normal(1, 7, D)
    mean = inputs.mean(1, keepdim=True)
    p = fed(mean, 1e-3, 1)
    change = projected(gradient[None], p[None])[0]
    assert ratio(change, gradient, mean) < 1e-2
    assert ratio(change, gradient, inputs) > 0.5


def test_the_leak_forgets() -> None:
    p = fed(normal(0, D, OLD), 0.1, 5)[None]
    expected = 0.9 * p + 0.1 * eye(D)
    torch.testing.assert_close(leaked(p, 0.1), expected, rtol=0, atol=1e-15)
    for _ in range(400):
        p = leaked(p, 0.1)
    torch.testing.assert_close(p, eye(D))


def test_single_precision_stays_symmetric_and_bounded() -> None:
    p = torch.eye(32)[None].repeat(3, 1, 1)
    for step in range(500):
        p = updated(leaked(p, 1e-3), 10 * normal(step, 3, 32, 8).float().relu(), 1e-3)
    assert torch.equal(p, p.mT)
    eigenvalues = torch.linalg.eigvalsh(p.double())
    assert float(eigenvalues.min()) > -1e-4
    assert float(eigenvalues.max()) < 1.01


def test_a_system_that_is_not_positive_definite_leaves_the_projector_alone() -> None:
    p = torch.stack([-eye(4)[0], eye(4)[0]])
    found = updated(p, normal(0, 2, 4, 2), 1e-6)
    assert torch.equal(found[0], p[0])
    assert not torch.equal(found[1], p[1])


@settings(max_examples=20, deadline=None)
@given(
    blocks=st.integers(1, 4),
    size=st.integers(1, 9),
    columns=st.integers(1, 5),
    alpha=st.sampled_from([1e-2, 1.0, 50.0]),
    seed=st.integers(0, 99),
)
def test_blocks_of_a_batch_are_independent(
    blocks: int, size: int, columns: int, alpha: float, seed: int
) -> None:
    inputs = normal(seed, blocks, size, columns)
    found = updated(eye(size).repeat(blocks, 1, 1), inputs, alpha)
    for block in range(blocks):
        torch.testing.assert_close(found[block], closed(inputs[block], alpha), rtol=0, atol=1e-9)


# The form for wide layers


def test_a_basis_of_all_directions_is_the_projector_in_full() -> None:
    basis, taken = torch.zeros(1, D, D, dtype=torch.float64), torch.zeros(1, D, dtype=torch.float64)
    p, gradient = eye(D), normal(9, 1, 7, D)
    for step, alpha in enumerate([1.0, 0.1, 0.02]):  # a schedule does not reach back
        inputs = normal(step, 1, D, 6)
        p = updated(leaked(p, 0.05), inputs, alpha)
        basis, taken = basis_updated(basis, 0.95 * taken, inputs, alpha, 1.0)
        expected = projected(gradient, p)
        torch.testing.assert_close(
            basis_projected(gradient, basis, taken), expected, rtol=0, atol=1e-8
        )


def test_a_small_basis_keeps_what_has_most_energy() -> None:
    scale = torch.tensor([100.0, 50.0, 1.0, 0.5], dtype=torch.float64)
    directions = torch.linalg.qr(normal(0, D, 4))[0]
    inputs = (directions * scale)[None]
    empty = torch.zeros(1, D, 8, dtype=torch.float64), torch.zeros(1, 8, dtype=torch.float64)
    basis, taken = basis_updated(*empty, inputs, 0.1, 0.97)
    assert int((taken > 0).sum()) == 2  # 12,500 of 12,501.25 are above 97 %, 10,000 are not
    expected = scale[:2].square() / (scale[:2].square() + 0.1)
    torch.testing.assert_close(taken[0, :2], expected)
    kept = basis_projected(directions.T[None], basis, taken)[0].norm(dim=1)
    assert float(kept[:2].max()) < 1e-3
    assert float(kept[2:].min()) > 0.999
    narrow = torch.zeros(1, D, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    _, taken = basis_updated(*narrow, inputs, 0.1, 1.0)
    torch.testing.assert_close(taken[0], expected[:1])
