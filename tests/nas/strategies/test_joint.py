"""One-level search: what moves in which phase, in turns, and after a resumption."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nas.batch import Batch
from nas.compression import Compressed, Compression
from nas.costs import BitOps
from nas.dataspec import DataSpec
from nas.errors import ConfigError
from nas.objectives import LogCost, Objective
from nas.policies import FreeLogits, ThresholdGates
from nas.relaxations import Softmax
from nas.space import blueprint
from nas.strategies import Joint
from nas.supernet import Supernet
from nas.tasks import Classification
from search_spaces.superbit import BackboneSpace

DATA = DataSpec((1, 8, 8), "classes", 3)
TURNS = ("weight_bits", "activation_bits")


def made(seed: int = 0, **settings: Any) -> Joint:
    torch.manual_seed(seed)
    space = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 2}), Compression())
    supernet = Supernet(space.supernet()).train()
    policy = ThresholdGates(supernet.decisions)
    objective = Objective(Classification(), [LogCost(BitOps(blueprint(space), (1, 8, 8)), 0.5)])
    return Joint(
        supernet,
        policy,
        objective,
        torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9),
        torch.optim.SGD(policy.parameters(), lr=0.02, momentum=0.9),
        **{"turns": TURNS, **settings},
    )


def batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    return Batch(
        torch.randn(6, 1, 8, 8, generator=generator),
        torch.randint(3, (6,), generator=generator),
    )


def thresholds(update: Joint) -> dict[str, Tensor]:
    policy = update.policy
    assert isinstance(policy, ThresholdGates)
    return {name: policy.threshold(name).detach().clone() for name in policy.decisions}


def test_the_first_phase_trains_the_network_without_compression() -> None:
    update = made(pretrain=0.5)
    assert [(p.name, p.epochs) for p in update.phases(6)] == [("pretrain", 3), ("search", 3)]
    before = thresholds(update)
    weights = [p.detach().clone() for p in update.supernet.parameters()]
    update.pretrain_step(batch(0))
    assert update.supernet.realised() == {}
    assert all(torch.equal(before[n], t) for n, t in thresholds(update).items())
    moved = [
        not torch.equal(a, b) for a, b in zip(weights, update.supernet.parameters(), strict=True)
    ]
    names = [name for name, _ in update.supernet.named_parameters()]
    open_bits = [
        (n.endswith("clip") and "body" in n) or ("shortcut" in n and "clip" in n) for n in names
    ]
    assert [not each for each in open_bits] == moved  # both ends have 8 bits all the time


def test_thresholds_learn_in_turns_and_weights_always() -> None:
    update = made()
    update.step(batch(0))  # the first evidence sets all thresholds
    for step, turn in ((1, TURNS[1]), (2, TURNS[0]), (3, TURNS[1])):
        before = thresholds(update)
        seen = update.step(batch(step))
        moved = {n for n, t in thresholds(update).items() if not torch.equal(before[n], t)}
        assert moved == {n for n in before if n.endswith(turn)}
        assert float(seen["loss/architecture"]) != float(seen["loss/weights"])


def test_without_turns_all_thresholds_learn() -> None:
    update = made(turns=())
    update.step(batch(0))
    before = thresholds(update)
    update.step(batch(1))
    assert all(not torch.equal(before[n], t) for n, t in thresholds(update).items())


def test_weights_do_not_feel_the_cost() -> None:
    gradients = []
    for weight in (1e-6, 5.0):
        update = made()
        update.objective.constraints[0].weight = weight  # type: ignore[attr-defined]
        update.step(batch(0))
        gradients.append(
            [p.grad.clone() for p in update.supernet.parameters() if p.grad is not None]
        )
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_resumed_search_equals_an_uninterrupted_one() -> None:
    whole, first = made(), made()
    for step in range(5):
        whole.step(batch(step))
    for step in range(3):
        first.step(batch(step))
    second = made(seed=7)
    second.load_state_dict(first.state_dict())
    for step in range(3, 5):
        second.step(batch(step))
    one, other = whole.state_dict(), second.state_dict()
    for part in ("supernet", "policy"):
        assert all(torch.equal(one[part][k], other[part][k]) for k in one[part])
    assert one["turn"] == other["turn"]


def test_shares_and_turns_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"pretrain is a share from 0 to below 1, got 1\.0"):
        made(pretrain=1.0)
    space = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 2}), Compression())
    supernet = Supernet(space.supernet())
    policy = FreeLogits(supernet.decisions, Softmax())
    parts = (supernet, policy, Objective(Classification()))
    optimizers = [torch.optim.SGD(p.parameters(), lr=0.1) for p in (supernet, policy)]
    with pytest.raises(ConfigError, match=r"FreeLogits has none; set strategy\.update\.turns"):
        Joint(*parts, *optimizers, turns=TURNS)  # type: ignore[arg-type]
    assert Joint(*parts, *optimizers).phases(2)  # type: ignore[arg-type]
