"""The second-order gradient against autograd through the unrolled step (DARTS checks 2 and 3).

The correction is about a hundredth of the gradient, so errors are measured against the correction:
a first-order gradient scores 1 and one of the wrong sign 2, where a total relative error of 1e-2
would let both pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from nas.strategies import unrolled
from nas.strategies.unrolled import Losses, SgdState, look_ahead, unrolled_gradient

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Toy:
    """An MLP whose hidden layer mixes three operations, and the state of a step of SGD."""

    weights: list[Tensor]
    alpha: Tensor
    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    sgd: SgdState

    def loss(self, weights: Sequence[Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        first, second, third, out = weights
        x, y = batch
        p = self.alpha.softmax(0)
        mixed = p[0] * torch.tanh(x @ first) + p[1] * torch.sin(x @ second)
        mixed = mixed + p[2] * F.softplus(x @ third)
        return F.cross_entropy(mixed @ out, y)

    def losses(self) -> Losses:
        return Losses(
            train=lambda w: self.loss(w, self.train),
            look_ahead=lambda w: self.loss(w, self.held_out),
            perturbed=lambda w: self.loss(w, self.train),
        )

    def gradient(self, **changes: Callable[[Sequence[Tensor]], Tensor]) -> Tensor:
        losses = replace(self.losses(), **changes)
        (found,) = unrolled_gradient(losses, self.weights, [self.alpha], self.sgd)
        assert found is not None
        return found

    def exact(self) -> tuple[Tensor, Tensor]:
        """The total derivative, and its direct part: that at fixed stepped weights."""
        xi, mu, decay = self.sgd.learning_rate, self.sgd.momentum, self.sgd.weight_decay
        g = torch.autograd.grad(
            self.loss(self.weights, self.train), self.weights, create_graph=True
        )
        stepped = []
        for w, gradient, m in zip(self.weights, g, self.sgd.buffers, strict=True):
            momentum = torch.zeros_like(w) if m is None else mu * m
            stepped.append(w - xi * (momentum + gradient + decay * w))
        (total,) = torch.autograd.grad(
            self.loss(stepped, self.held_out), self.alpha, retain_graph=True
        )
        fixed = [w.detach() for w in stepped]
        (direct,) = torch.autograd.grad(self.loss(fixed, self.held_out), self.alpha)
        return total, direct

    def error(self, gradient: Tensor) -> float:
        """``||g - g_exact|| / ||g_exact - g_direct||``: relative to the correction."""
        total, direct = self.exact()
        return float((gradient - total).norm() / (total - direct).norm())


def toy(
    seed: int = 0,
    momentum: float = 0.0,
    decay: float = 0.0,
    buffers: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Toy:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    weights = [(0.5 * randn(5, 6)).requires_grad_() for _ in range(3)]
    weights.append((0.5 * randn(6, 4)).requires_grad_())
    batches = [(randn(16, 5), torch.randint(0, 4, (16,), generator=generator)) for _ in range(2)]
    kept = [0.1 * randn(*w.shape) if buffers else None for w in weights]
    return Toy(weights, randn(3).requires_grad_(), *batches, SgdState(0.025, momentum, decay, kept))


CASES = {
    "plain": {},
    "weight decay": {"decay": 0.1},
    "before the first step": {"momentum": 0.9, "decay": 3e-4},
    "momentum buffer": {"momentum": 0.9, "buffers": True},
    "both": {"momentum": 0.9, "decay": 0.1, "buffers": True},
}


# checks 2 and 3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(4))
def test_darts_checks_2_and_3_second_order_gradient(case: str, seed: int) -> None:
    made = toy(seed, **CASES[case])  # type: ignore[arg-type]
    assert made.error(made.gradient()) < TOLERANCE
    total, direct = made.exact()
    share = float((total - direct).norm() / total.norm())
    assert share > 1e-3  # the correction is small, but not what a tolerance would swallow


@pytest.mark.parametrize("case", CASES)
def test_darts_checks_2_and_3_in_single_precision(case: str) -> None:
    made = toy(dtype=torch.float32, **CASES[case])  # type: ignore[arg-type]
    assert made.error(made.gradient()) < 1e-2


@given(
    seed=st.integers(0, 2**31),
    momentum=st.floats(0, 0.99),
    decay=st.floats(0, 0.1),
    buffers=st.booleans(),
)
def test_it_holds_for_any_toy(seed: int, momentum: float, decay: float, buffers: bool) -> None:
    made = toy(seed, momentum, decay, buffers)
    assert made.error(made.gradient()) < 5 * TOLERANCE


# the checks see wrong implementations


Maybe = Tensor | None
Corrected = Callable[[Maybe, Maybe, Maybe, float, Tensor], Maybe]


def first_order(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0


def flipped(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0 + xi * (plus - minus) / (2 * r)


def without_the_two(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0 - xi * (plus - minus) / r


def undivided(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0 - xi * (plus - minus)


def equal_sides(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0 - xi * (plus - plus) / (2 * r)  # gradients that were not computed anew


def without_rate(g0: Tensor, plus: Tensor, minus: Tensor, xi: float, r: Tensor) -> Tensor:
    return g0 - (plus - minus) / (2 * r)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("mutation", "score"),
    [
        (first_order, 1.0),
        (flipped, 2.0),
        (without_the_two, 1.0),
        (undivided, None),
        (equal_sides, 1.0),
        (without_rate, None),
    ],
)
def test_wrong_finite_differences_fail(
    case: str, mutation: Corrected, score: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = toy(**CASES[case])  # type: ignore[arg-type]
    monkeypatch.setattr(unrolled, "_corrected", mutation)
    error = made.error(made.gradient())
    assert error > 100 * TOLERANCE
    if score is not None:
        assert error == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_wrong_batches_and_centers_fail(case: str) -> None:
    made = toy(**CASES[case])  # type: ignore[arg-type]
    held_out = made.gradient(perturbed=lambda w: made.loss(w, made.held_out))
    assert made.error(held_out) > 100 * TOLERANCE
    g = torch.autograd.grad(made.loss(made.weights, made.train), made.weights)
    moves = [
        s.detach() - w.detach()
        for s, w in zip(look_ahead(made.weights, g, made.sgd), made.weights, strict=True)
    ]
    around_the_stepped = made.gradient(
        perturbed=lambda w: made.loss([a + b for a, b in zip(w, moves, strict=True)], made.train)
    )
    assert made.error(around_the_stepped) > 2 * TOLERANCE
    looked_at_train = made.gradient(look_ahead=lambda w: made.loss(w, made.train))
    assert made.error(looked_at_train) > 100 * TOLERANCE


@pytest.mark.parametrize("forgotten", ["momentum", "weight_decay", "learning_rate"])
def test_a_forgotten_part_of_the_step_fails(forgotten: str) -> None:
    made = toy(momentum=0.9, decay=0.1, buffers=True)
    sgd = replace(made.sgd, **{forgotten: 0.0})  # type: ignore[arg-type]
    (found,) = unrolled_gradient(made.losses(), made.weights, [made.alpha], sgd)
    assert found is not None
    assert made.error(found) > 10 * TOLERANCE


# the step itself, and what has no gradient


def test_the_look_ahead_is_a_step_of_torchs_sgd() -> None:
    made = toy(momentum=0.9, decay=0.1, buffers=True)
    g = torch.autograd.grad(made.loss(made.weights, made.train), made.weights)
    stepped = look_ahead(made.weights, g, made.sgd)
    copies = [torch.nn.Parameter(w.detach().clone()) for w in made.weights]
    optimizer = torch.optim.SGD(copies, lr=0.025, momentum=0.9, weight_decay=0.1)
    for copy, gradient, buffer in zip(copies, g, made.sgd.buffers, strict=True):
        copy.grad = gradient
        assert buffer is not None
        optimizer.state[copy]["momentum_buffer"] = buffer.clone()
    optimizer.step()
    for ours, theirs in zip(stepped, copies, strict=True):
        torch.testing.assert_close(ours, theirs, check_layout=False)
        assert ours.is_leaf
        assert ours.requires_grad


def test_weights_and_logits_stay_as_they_are() -> None:
    made = toy(momentum=0.9, decay=0.1, buffers=True)
    before = [t.detach().clone() for t in (*made.weights, made.alpha)]
    made.gradient()
    for tensor, old in zip((*made.weights, made.alpha), before, strict=True):
        assert torch.equal(tensor, old)
        assert tensor.grad is None


def test_unused_weights_and_logits_are_no_obstacle() -> None:
    made = toy()
    unused, silent = torch.randn(3, requires_grad=True), torch.randn(2, requires_grad=True)
    weights = [*made.weights, unused.double()]
    sgd = replace(made.sgd, buffers=[*made.sgd.buffers, None])
    losses = Losses(
        train=lambda w: made.loss(w[:4], made.train),
        look_ahead=lambda w: made.loss(w[:4], made.held_out),
        perturbed=lambda w: made.loss(w[:4], made.train),
    )
    g = torch.autograd.grad(losses.train(weights), weights, allow_unused=True)
    assert torch.equal(look_ahead(weights, g, replace(sgd, weight_decay=0.5))[-1], weights[-1])
    found, nothing = unrolled_gradient(losses, weights, [made.alpha, silent], sgd)
    assert nothing is None
    assert found is not None
    torch.testing.assert_close(found, made.gradient())


def test_logits_that_only_the_training_loss_reads_get_the_implicit_part_alone() -> None:
    made = toy()
    train_only = torch.randn(3, dtype=torch.float64, requires_grad=True)
    losses = Losses(
        train=lambda w: (w[0] * train_only).square().sum(),
        look_ahead=lambda w: w[0].pow(3).sum(),
        perturbed=lambda w: (w[0] * train_only).square().sum(),
    )
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    xi = made.sgd.learning_rate
    sgd = replace(made.sgd, buffers=[None])
    (found,) = unrolled_gradient(losses, [w], [train_only], sgd)
    # by hand: w' = w - 2 xi w a^2, so d/da sum w'^3 = 3 w'^2 * (-4 xi w a)
    stepped = w - 2 * xi * w * train_only**2
    expected = 3 * stepped**2 * (-4 * xi * w * train_only)
    assert found is not None
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-9)
