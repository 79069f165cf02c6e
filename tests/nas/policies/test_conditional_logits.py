"""Logits as a function of a condition: against their formula, what they share, what they learn."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Conditional, ConditionalLogits, FreeLogits, Policy, conditional
from nas.relaxations import Gumbel, Relaxation, Softmax
from nas.strategies.architecture_step import architecture_step

DECISIONS = {
    d.name: d
    for d in (
        Decision("width", (1, 2, 4), "nested"),
        Decision("bits", (2, 4, 8), "nested", groups=2),
        Decision("filters", (0, 1), "nested", groups=3),
    )
}


def scattered(relaxation: Relaxation | None = None, **settings: Any) -> ConditionalLogits:
    """With parameters away from where they begin."""
    policy = ConditionalLogits(DECISIONS, relaxation or Softmax(), **settings).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise)
    return policy


def at(policy: ConditionalLogits, condition: float) -> dict[str, torch.Tensor]:
    policy.condition = condition
    return {k: v.detach().clone() for k, v in policy.logits().items()}


def test_logits_are_those_of_the_formula_entry_by_entry() -> None:
    policy = scattered(hidden=3).requires_grad_(False)
    for t in (0.1, 0.5, 1.0):
        for key, found in at(policy, t).items():
            for row, column in ((0, 0), (len(found) - 1, 1)):
                shared = float(policy.shared.stacks[key][row, column])
                moved = sum(
                    float(policy.heads[key][row, column, j])
                    * math.tanh(float(policy.slopes[j]) * t + float(policy.offsets[j]))
                    for j in range(3)
                )
                assert float(found[row, column]) == pytest.approx(shared + moved, rel=1e-12)


def test_at_first_all_conditions_have_the_free_logits() -> None:
    policy = ConditionalLogits(DECISIONS, Softmax(), init_std=1.0, seed=3)
    free = FreeLogits(DECISIONS, Softmax(), init_std=1.0, seed=3)
    for t in (0.2, 0.7):
        assert all(torch.equal(found, free.stacks[key]) for key, found in at(policy, t).items())


def test_units_switch_at_evenly_spaced_conditions() -> None:
    policy = ConditionalLogits(DECISIONS, Softmax(), hidden=4)
    switches = -policy.offsets.detach() / policy.slopes.detach()
    torch.testing.assert_close(switches, torch.tensor([1, 3, 5, 7]) / 8)


def test_under_a_condition_it_draws_what_free_logits_of_these_values_draw() -> None:
    policy = scattered(Gumbel(), seed=4)
    free = FreeLogits(DECISIONS, Gumbel(), seed=4).double()
    for t in (0.2, 0.9):
        for key, found in at(policy, t).items():
            free.stacks[key].data.copy_(found)
        mine, theirs = policy().arch, free().arch
        for name in DECISIONS:
            one, other = mine[name], theirs[name]
            assert isinstance(one, Weights)
            assert isinstance(other, Weights)
            assert torch.equal(one.values, other.values)
            assert one.live == other.live


def test_every_parameter_gets_the_gradient_of_finite_differences() -> None:
    policy = scattered(hidden=3)
    policy.condition = 0.4
    weights = {k: torch.randn(v.shape, dtype=torch.float64) for k, v in policy.logits().items()}

    def loss() -> torch.Tensor:
        return torch.stack(
            [(weights[k] * v.tanh()).sum() for k, v in policy.logits().items()]
        ).sum()

    gradients = torch.autograd.grad(loss(), list(policy.parameters()))
    for parameter, gradient in zip(policy.parameters(), gradients, strict=True):
        assert bool((gradient != 0).all())
        with torch.no_grad():
            flat, step = parameter.view(-1), 1e-6
            flat[0] += step
            above = loss()
            flat[0] -= 2 * step
            below = loss()
            flat[0] += step
        assert float(gradient.view(-1)[0]) == pytest.approx(float(above - below) / 2e-6, rel=1e-5)


def test_after_training_conditions_differ_as_they_were_told() -> None:
    """Narrow at 0.2, wide at 0.8; in between it is in between."""
    policy = ConditionalLogits({"width": DECISIONS["width"]}, Softmax())
    optimizer = torch.optim.Adam(policy.parameters(), 0.02)
    for step in range(200):
        policy.condition = (0.2, 0.8)[step % 2]
        weights = policy().arch["width"]
        assert isinstance(weights, Weights)
        loss = -weights.row[0 if step % 2 == 0 else 2].log()
        gradients = torch.autograd.grad(loss, list(policy.parameters()), allow_unused=True)
        architecture_step(policy, optimizer, gradients)

    def widest(t: float) -> float:
        policy.condition = t
        found = policy.probabilities()["width"]
        assert isinstance(found, Weights)
        return float(found.row[2])

    assert widest(0.2) < 0.1 < 0.9 < widest(0.8)
    shares = [widest(0.2 + 0.06 * place) for place in range(11)]
    assert shares == sorted(shares)


def test_a_mask_holds_logits_and_heads_at_every_condition() -> None:
    policy = scattered()
    policy.set_mask("bits", [True, False, True])
    key = "alpha_3"
    named = {id(p): mask for p, mask in policy.held()}
    assert named.keys() == {id(policy.shared.stacks[key]), id(policy.heads[key])}
    assert {id(p) for p in policy.take_reset()} == named.keys()
    assert policy.take_reset() == []
    before = policy.heads[key].detach().clone(), policy.shared.stacks[key].detach().clone()
    optimizer = torch.optim.Adam(policy.parameters(), 0.1, weight_decay=0.1)
    for t in (0.3, 0.6):
        policy.condition = t
        found = policy().arch["bits"]
        assert isinstance(found, Weights)
        assert found.live == (0, 2)
        assert not bool(found.values[:, 1].any())
        gradients = torch.autograd.grad(
            found.values[:, 0].sum(), list(policy.parameters()), allow_unused=True
        )
        architecture_step(policy, optimizer, gradients)
    allowed = named[id(policy.heads[key])]
    for parameter, old, mask in zip(
        (policy.heads[key], policy.shared.stacks[key]),
        before,
        (allowed, policy.shared.mask("bits")),
        strict=True,
    ):
        rows = parameter.detach()[-2:], old[-2:], mask[-2:]  # those of "bits"
        assert torch.equal(rows[0][~rows[2]], rows[1][~rows[2]])
        assert not torch.equal(rows[0][rows[2]], rows[1][rows[2]])


def test_the_condition_is_part_of_the_state_and_of_copies() -> None:
    policy = scattered(Gumbel())
    policy.condition = 0.3
    other = ConditionalLogits(DECISIONS, Gumbel(), seed=9).double()
    other.load_state_dict(policy.state_dict())
    assert other.condition == copy.deepcopy(policy).condition == 0.3
    assert all(torch.equal(v, other.logits()[k]) for k, v in policy.logits().items())


def test_only_policies_with_a_condition_can_be_told_one() -> None:
    policy: Policy = ConditionalLogits(DECISIONS, Softmax())
    assert isinstance(policy, Conditional)
    assert conditional(policy) is policy
    with pytest.raises(ConfigError, match=r"FreeLogits has no condition.*ConditionalLogits"):
        conditional(FreeLogits(DECISIONS, Softmax()))


@pytest.mark.parametrize("hidden", [0, 1.5, True])
def test_a_number_of_units_that_is_none_is_told(hidden: Any) -> None:
    with pytest.raises(ConfigError, match=r"policy.hidden must be a whole number above 0"):
        ConditionalLogits(DECISIONS, Softmax(), hidden)


def test_hard_decisions_are_refused_where_weights_are_soft() -> None:
    with pytest.raises(ConfigError, match="decision 'place' is hard"):
        ConditionalLogits({"place": Decision("place", (1, 2), soft=False)}, Softmax())
