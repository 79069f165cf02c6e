"""Targets in turn: whose turn it is, what each step is told, and a problem with known optima."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.arch import Arch, Weights
from nas.batch import Batch
from nas.budget import Limits, filled, within
from nas.cost_tree import Alternatives, Leaf, Sum
from nas.costs import TreeCost
from nas.decision import Decision, Genotype
from nas.errors import ConfigError
from nas.objectives import Multiplier, Objective
from nas.policies import ConditionalLogits, FreeLogits
from nas.relaxations import Gumbel, Relaxation, Softmax
from nas.space import discretize
from nas.strategies import Phase, Rotation
from nas.strategies.architecture_step import architecture_step
from tests.nas.strategies.analytic import Analytic

TARGETS = (0.3, 0.5, 0.7)
NOTHING = Batch(torch.zeros(1), torch.zeros(1))


class Ladders:
    """The analytic problem as a space: ten ladders, their cost, and what a genotype scores."""

    name = "analytic"

    def __init__(self, seed: int) -> None:
        self.problem = Analytic(seed)
        rungs = tuple(self.problem.ladder)
        self.decisions = {
            f"layer{i}/width": Decision(f"layer{i}/width", rungs, "nested")
            for i in range(len(self.problem.costs))
        }
        parts = [
            Alternatives(name, tuple(Leaf(float(m) * rung) for rung in rungs))
            for name, m in zip(self.decisions, self.problem.costs, strict=True)
        ]
        self.cost = TreeCost("macs", "MAC", Sum(tuple(parts)))
        self.removed = torch.tensor([(1 - rung) ** 2 for rung in rungs], dtype=torch.float64)

    def supernet(self) -> Any:
        raise NotImplementedError

    def network(self, genotype: Genotype) -> Any:
        raise NotImplementedError

    def places(self, choices: Genotype) -> list[int]:
        return [d.positions(choices[name])[0][0] for name, d in self.decisions.items()]

    def cost_of(self, choices: Genotype) -> dict[str, float]:
        return {"macs": self.problem.cost(self.places(choices))}

    def metrics(self, output: Any, target: Any) -> dict[str, Tensor]:
        return {}

    def loss(self, output: Arch, target: Any) -> Tensor:
        """What the expected accuracy is short of 1."""
        rows = [w.row.double() for w in output.values() if isinstance(w, Weights)]
        return self.problem.losses @ (torch.stack(rows) @ self.removed)

    def objective_at(self, cost: str, target: float) -> Objective:
        assert cost == "macs"
        task: Any = self
        limit = Multiplier(self.cost, target)
        return Objective(task, [limit], lambda arch: self.cost_of(discretize(self, arch)))


class Descent:
    """An architecture step on the objective alone, without weights."""

    def __init__(self, policy: ConditionalLogits, rate: float = 0.02) -> None:
        self.policy, self.objective = policy, Objective(None)  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(policy.parameters(), rate, betas=(0.5, 0.999))
        self.seen: list[tuple[float, float]] = []

    def phases(self, epochs: int) -> Sequence[Phase]:
        return [Phase("search", epochs, ("architecture",), self.step)]

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        (limit,) = self.objective.multipliers
        self.seen.append((self.policy.condition, limit.target))
        seen = self.objective.adapt(self.policy.probabilities())
        arch = self.policy().arch
        loss = self.objective(arch, None, arch)
        gradients = torch.autograd.grad(loss, list(self.policy.parameters()), allow_unused=True)
        architecture_step(self.policy, self.optimizer, gradients)
        return {**seen, "loss/architecture": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])


def rotating(
    space: Ladders,
    targets: Sequence[float] = TARGETS,
    relaxation: Relaxation | None = None,
    seed: int = 0,
) -> tuple[Rotation, Descent]:
    policy = ConditionalLogits(space.decisions, relaxation or Softmax(), seed=seed)
    update = Descent(policy)
    made = Rotation(update, policy, space.objective_at, targets=targets, cost="macs")
    return made, update


def run(update: Rotation, steps: int) -> list[dict[str, float]]:
    (phase,) = update.phases(1)
    return [{k: float(v) for k, v in phase.step(NOTHING).items()} for _ in range(steps)]


def test_every_step_is_told_its_target_and_has_its_limit() -> None:
    rotation, update = rotating(Ladders(0))
    found = run(rotation, 7)
    assert update.seen == [(t, t) for t in (*TARGETS, *TARGETS, TARGETS[0])]
    for step, told in enumerate(found):
        name = f"{TARGETS[step % 3]:g}"
        assert told.keys() == {
            "loss/architecture",
            f"derived/macs/{name}",
            f"multiplier/macs/{name}",
        }
    assert update.policy.condition == TARGETS[0]  # between steps it is the first target's
    assert update.objective is rotation.objectives[TARGETS[0]]


def test_targets_have_multipliers_of_their_own() -> None:
    rotation, _ = rotating(Ladders(0), (0.2, 1.0))
    run(rotation, 40)
    values = {t: each.multipliers[0].value for t, each in rotation.objectives.items()}
    assert values[0.2] > 0.3
    assert values[1.0] == 0


@pytest.mark.parametrize("relaxation", [Softmax, Gumbel])
def test_a_search_saved_at_any_step_goes_on_bit_for_bit(relaxation: type) -> None:
    space = Ladders(1)
    whole, update = rotating(space, relaxation=relaxation())
    told = run(whole, 12)
    for stop in (1, 2, 5):
        first, _ = rotating(space, relaxation=relaxation())
        before = run(first, stop)
        state = copy.deepcopy(first.state_dict())
        second, other = rotating(space, relaxation=relaxation(), seed=7)
        second.load_state_dict(state)
        assert before + run(second, 12 - stop) == told
        for mine, theirs in zip(update.policy.parameters(), other.policy.parameters(), strict=True):
            assert torch.equal(mine, theirs)
        values = [o.state_dict() for o in second.objectives.values()]
        assert values == [o.state_dict() for o in whole.objectives.values()]


def test_rules_policies_and_spaces_that_do_not_suit_it_are_refused() -> None:
    space = Ladders(0)
    policy = ConditionalLogits(space.decisions, Softmax())
    how: dict[str, Any] = {"targets": TARGETS, "cost": "macs"}
    with pytest.raises(ConfigError, match=r"object has no objective that targets could be limits"):
        Rotation(object(), policy, space.objective_at, **how)  # type: ignore[arg-type]
    free = FreeLogits(space.decisions, Softmax())
    with pytest.raises(ConfigError, match="FreeLogits has no condition"):
        Rotation(Descent(policy), free, space.objective_at, **how)
    with pytest.raises(ConfigError, match="above 0 and up to 1"):
        Rotation(Descent(policy), policy, space.objective_at, targets=(0.3, 1.5), cost="macs")
    other = ConditionalLogits({"op": Decision("op", ("a", "b"))}, Softmax())
    with pytest.raises(ConfigError, match="and op is none"):
        Rotation(Descent(other), other, space.objective_at, **how)


def accuracies(
    space: Ladders, steps: int, targets: Sequence[float] = TARGETS, seed: int = 0
) -> tuple[list[float], list[float]]:
    """Of the genotypes of every target: score over the optimum, and cost."""
    rotation, update = rotating(space, targets, seed=seed)
    run(rotation, steps)
    scores, costs = [], []
    for target in targets:
        update.policy.condition = target
        limits = Limits({"macs": target + 1e-9}, space.cost_of)
        arch = update.policy.probabilities()
        found = within(space, arch, {"macs": space.cost}, limits)
        assert found.excess <= 0
        places = space.places(filled(space.decisions, arch, found.choices, limits))
        scores.append(space.problem.accuracy(places) / space.problem.optimum(target))
        costs.append(space.problem.cost(places))
    return scores, costs


@pytest.mark.parametrize("seed", [0, 1])
def test_one_search_comes_near_the_known_optimum_of_every_target(seed: int) -> None:
    """Ten layers; the bound is over real shares, ours are tenths. Costs rise with the targets."""
    scores, costs = accuracies(Ladders(seed), 300, seed=seed)
    assert min(scores) > 0.95
    assert costs == sorted(costs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_one_search_is_as_good_as_three_of_a_third_of_the_steps(seed: int) -> None:
    space = Ladders(seed)
    together, _ = accuracies(space, 600, seed=seed)
    for target, score in zip(TARGETS, together, strict=True):
        ((alone,), _) = accuracies(space, 200, (target,), seed=seed)
        assert score > 0.95 * alone
