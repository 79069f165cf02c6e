import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.arch import Arch, Weights
from nas.cost_tree import Alternatives, Leaf
from nas.costs import TreeCost
from nas.decision import Decision
from nas.errors import ConfigError
from nas.objectives import Multiplier, Objective, Penalty
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.tasks import Classification

COSTS = (10.0, 20.0, 40.0)
COST = TreeCost("macs", "MAC", Alternatives("a", tuple(Leaf(c) for c in COSTS)))
LOGITS, TARGETS = torch.tensor([[2.0, 0.5], [0.1, 0.3]]), torch.tensor([0, 1])


def arch_of(row: list[float]) -> Arch:
    return {"a": Weights(torch.tensor([row]), (0, 1, 2))}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.0, 0.0, 1.0], 3.0 * (40 / 16 - 1)),
        ([0.5, 0.5, 0.0], 0.0),  # 15 of at most 16
        ([0.0, 0.5, 0.5], 3.0 * (30 / 16 - 1)),
    ],
)
def test_the_penalty_is_the_relative_excess(row: list[float], expected: float) -> None:
    assert float(Penalty(COST, 16.0, 3.0).penalty(arch_of(row))) == pytest.approx(expected)


def test_the_objective_is_the_task_loss_plus_all_penalties() -> None:
    arch = arch_of([0.0, 0.0, 1.0])
    cross_entropy = F.cross_entropy(LOGITS, TARGETS)
    constraints = [Penalty(COST, 20.0, 0.5), Penalty(COST, 10.0)]
    found = Objective(Classification(), constraints)(LOGITS, TARGETS, arch)
    torch.testing.assert_close(found, cross_entropy + 0.5 * (2 - 1) + (4 - 1))
    assert found.dtype == LOGITS.dtype
    plain = Objective(Classification())(LOGITS, TARGETS, arch)
    assert torch.equal(plain, cross_entropy)


def test_the_gradient_of_the_penalty_reaches_every_logit() -> None:
    policy = FreeLogits({"a": Decision("a", ("x", "y", "z"))}, Softmax())
    objective = Objective(Classification(), [Penalty(COST, 5.0, 2.0)])
    (parameter,) = policy.parameters()
    loss = objective(LOGITS, TARGETS, policy().arch)
    (gradient,) = torch.autograd.grad(loss, parameter)
    p = parameter.detach()[0].softmax(0)
    costs = torch.tensor(COSTS)
    torch.testing.assert_close(gradient[0], 2.0 / 5.0 * p * (costs - p @ costs))
    assert gradient.abs().min() > 0


def test_a_met_constraint_has_no_gradient() -> None:
    row = torch.tensor([[0.2, 0.3, 0.5]], requires_grad=True)
    arch: Arch = {"a": Weights(row, (0, 1, 2))}
    penalty: Tensor = Penalty(COST, 100.0).penalty(arch)
    assert float(torch.autograd.grad(penalty, row)[0].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("target", "weight"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)]
)
def test_a_limit_and_its_weight_are_above_zero(target: float, weight: float) -> None:
    with pytest.raises(ConfigError, match=r"budget\.macs=.*a limit and its weight must be above 0"):
        Penalty(COST, target, weight)


def test_a_multiplier_follows_the_excess_of_what_would_be_derived() -> None:
    limit = Multiplier(COST, 20.0, rate=0.5, gain=2.0, most=1.0)
    arch = arch_of([0.5, 0.5, 0.0])  # expects 15
    assert float(limit.penalty(arch)) == 0.0
    limit.adapt(20.0 * math.exp(0.5))
    assert (limit.value, limit.excess) == pytest.approx((0.25, 0.5))
    assert limit.weight == pytest.approx(0.25 + 2.0 * 0.5)
    assert float(limit.penalty(arch)) == pytest.approx(1.25 * math.log(15 / 20))
    limit.adapt(20.0 * math.e)
    assert limit.value == pytest.approx(0.75)
    limit.adapt(20.0 * math.e)
    assert limit.value == 1.0  # at most
    limit.adapt(20.0 / math.sqrt(math.e))
    assert (limit.value, limit.weight) == pytest.approx((0.75, 0.0))  # well within: no push at all
    limit.adapt(0.0)
    assert (limit.value, limit.excess) == (0.25, -1.0)  # at least -1
    limit.adapt(0.0)
    assert limit.value == 0.0


@pytest.mark.parametrize(("most", "wanted"), [(12.0, 0), (25.0, 1), (50.0, 2)])
def test_multipliers_move_what_is_derived_below_the_limit(most: float, wanted: int) -> None:
    """The task prefers what costs most; the policy ends at the dearest that is allowed."""
    policy = FreeLogits({"a": Decision("a", ("x", "y", "z"))}, Softmax(), seed=0)

    def derived(arch: Arch) -> dict[str, float]:
        weights = arch["a"]
        assert isinstance(weights, Weights)
        return {"macs": COSTS[int(weights.row.argmax())]}

    objective = Objective(Classification(), [Multiplier(COST, most)], derived)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    gains = torch.tensor([0.0, 0.3, 0.4])
    ends = []
    for step in range(1500):
        seen = objective.adapt(policy.probabilities())
        arch = policy().arch
        weights = arch["a"]
        assert isinstance(weights, Weights)
        loss = -(weights.row @ gains) + objective(torch.zeros(1, 2), torch.tensor([0]), arch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 1200:
            ends.append(round(float(seen["derived/macs"]) * most, 3))
    # It may swing between the two neighbors of the limit, and is mostly where it is allowed.
    assert sum(end <= most for end in ends) / len(ends) > 0.5
    assert COSTS[wanted] in ends
    assert max(ends) <= COSTS[min(wanted + 1, 2)]


def test_multipliers_are_part_of_the_state() -> None:
    def made() -> Objective:
        return Objective(Classification(), [Multiplier(COST, 20.0)], lambda arch: {"macs": 30.0})

    one, other = made(), made()
    one.adapt(arch_of([1.0, 0.0, 0.0]))
    other.load_state_dict(one.state_dict())
    assert other.multipliers[0].weight == one.multipliers[0].weight > 0
    other.load_state_dict({})  # of a run without multipliers
    assert other.multipliers[0].weight == 0
    with pytest.raises(ValueError, match="adapt to the derived architecture"):
        Objective(Classification(), [Multiplier(COST, 20.0)])
