"""The contract of a relaxation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nas.arch import Weights
from nas.relaxations import Live, Relaxation
from nas.testing.common import attempting, require, seeded

ROWS, WIDTH, PICK = 64, 5, 2
COLD = 1e-3
DRAWS = 32  # one may leave a row without a gradient: all of its gates shut, or cut off
NEAR = 0.9  # share of rows that a cold relaxation must have brought to one candidate


def check_relaxation(
    make: Callable[[], Relaxation],
    *,
    differentiable: bool = True,
    several: bool = True,
    seed: int = 0,
) -> None:
    """Check what a policy and a network rely on.

    Rows sum to 1 (a hard relaxation gives ``pick`` ones per row); masked candidates get exactly 0
    and are never live; nested gates never increase; the gradient reaches the logits that are not
    masked and no others; with very different logits, and at a low temperature, one candidate is
    left; the same generator gives the same weights, and no other random numbers are used.

    Args:
        make: builds the relaxation.
        differentiable: False for one that ignores the logits, such as ``UniformPath``.
        several: False for one that keeps a single candidate, as of nested decisions.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    with seeded(seed) as generator:
        logits = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
        full = torch.ones(ROWS, WIDTH, dtype=torch.bool)
        some = full.clone()
        some[::2, 1] = some[::3, 4] = False
        for pick in (1, PICK) if several else (1,):
            for mask in (full, some):
                trial = Trial(make, logits, mask, pick)
                trial.check_rows()
                trial.check_random_numbers()
                if differentiable:
                    trial.check_gradient()
        if differentiable:
            Trial(make, logits, some, 1).check_limits()


class Trial:
    """One relaxation of given logits (rows, n)."""

    def __init__(
        self, make: Callable[[], Relaxation], logits: Tensor, mask: Tensor, pick: int
    ) -> None:
        self.make, self.logits, self.mask, self.pick = make, logits, mask, pick

    def weights(
        self, logits: Tensor | None = None, temperature: float | None = None, seed: int = 0
    ) -> tuple[Tensor, Live]:
        """Weights and live candidates by a new relaxation and a new generator."""
        relaxation = self.make()
        if temperature is not None:
            relaxation.temperature = temperature  # type: ignore[attr-defined]
        given = self.logits if logits is None else logits
        with attempting(f"relaxing {tuple(given.shape)} logits with pick={self.pick}"):
            return relaxation(
                given, self.mask.clone(), self.pick, torch.Generator().manual_seed(seed)
            )

    def check_rows(self) -> None:
        """Sums, masks, live candidates and gates."""
        soft = self.make().soft
        values, live = self.weights()
        require(
            values.shape == self.logits.shape and len(live) == len(values),
            f"weights {tuple(values.shape)} and {len(live)} live rows for logits "
            f"{tuple(self.logits.shape)}",
        )
        require(bool((values >= 0).all()), "some weights are negative")
        require(
            bool((values[~self.mask] == 0).all()), "masked candidates leak: their weight is not 0"
        )
        wanted = 1 if soft else self.pick
        sums = values.sum(-1)
        require(
            torch.allclose(sums, torch.full_like(sums, wanted)),
            f"rows must sum to {wanted}, found sums from {float(sums.min()):g} to "
            f"{float(sums.max()):g}",
        )
        if not soft:
            require(
                bool(((values == 0) | (values == 1)).all()),
                "a hard relaxation must give ones and zeros",
            )
        for row, keep, alive in zip(values, self.mask, live, strict=True):
            self._check_live(row, keep, alive, soft)

    def _check_live(self, row: Tensor, keep: Tensor, alive: tuple[int, ...], soft: bool) -> None:
        weighted = {i for i, value in enumerate(row.tolist()) if value != 0}
        require(
            weighted <= set(alive) and list(alive) == sorted(set(alive)),
            f"live candidates {alive} must hold, in order, all with a weight: {weighted}",
        )
        require(all(bool(keep[i]) for i in alive), f"masked candidates leak: {alive} are live")
        require(
            soft or len(alive) == self.pick,
            f"a hard relaxation must leave {self.pick} live, got {alive}",
        )
        gates = Weights(row[None], alive).gates()[0]
        require(bool((gates.diff() <= 1e-12).all()), "nested gates increase from level to level")

    def check_random_numbers(self) -> None:
        """The given generator decides, and nothing else is drawn or written."""
        before, given = torch.get_rng_state(), self.logits.clone()
        values, live = self.weights()
        require(torch.equal(given, self.logits), "the logits are changed in place")
        again, live_again = self.weights()
        require(
            torch.equal(values, again) and live == live_again,
            "the same generator state gives different weights: results could not be reproduced",
        )
        require(
            torch.equal(before, torch.get_rng_state()),
            "global random numbers are used; draw from the generator that is handed in",
        )

    def check_gradient(self) -> None:
        """Nonzero in one of many draws to logits that are allowed, zero to masked ones."""
        logits = self.logits.clone().requires_grad_()
        drawn = [self.weights(logits, seed=seed)[0] for seed in range(DRAWS)]
        values = torch.stack(drawn).sum(0)
        require(
            values.requires_grad,
            "the weights do not depend on the logits, so nothing can be learnt; if that is meant, "
            "check with differentiable=False",
        )
        probe = torch.randn(values.shape, generator=torch.Generator().manual_seed(1)).to(values)
        (gradient,) = torch.autograd.grad((values * probe).sum(), logits)
        require(bool(gradient.isfinite().all()), "the gradient to the logits is not finite")
        require(
            bool((gradient[~self.mask] == 0).all()), "masked candidates leak: they get a gradient"
        )
        dead = (gradient == 0).all(-1) & (self.mask.sum(-1) > self.pick)
        require(not dead.any(), f"{int(dead.sum())} of {ROWS} rows of logits get no gradient")

    def check_limits(self) -> None:
        """Very different logits, or a low temperature, leave one candidate."""
        best = self.logits.masked_fill(~self.mask, -torch.inf).argmax(-1)
        far = torch.zeros_like(self.logits).scatter(-1, best[:, None], 60.0)
        values, _ = self.weights(far)
        require(
            torch.equal(values.argmax(-1), best) and float(values.amax(-1).min()) > 0.99,
            "a logit that is larger than the others by 60 does not decide",
        )
        if not hasattr(self.make(), "temperature"):
            return
        cold, _ = self.weights(temperature=COLD)
        share = float((cold.amax(-1) > 0.99).double().mean())
        require(
            share >= NEAR,
            f"at temperature {COLD:g} only {share:.0%} of the rows have come down to one candidate",
        )
        if torch.equal(self.weights(seed=0)[0], self.weights(seed=1)[0]):  # nothing is sampled
            require(
                torch.equal(cold.argmax(-1), best),
                f"at temperature {COLD:g} the weights do not point at the largest logit",
            )
