"""What opens when, around which rules, and what a policy learns by it (arXiv 2007.07197)."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Controller, Uniform
from nas.strategies import Curriculum, Reinforce
from nas.strategies.base import Phase
from tests.nas.strategies.test_reinforce import NOTHING, rig

OPS = tuple(f"op{place}" for place in range(8))
EDGES = tuple(Decision(f"edge{place}", OPS) for place in range(4))


def staged(update: Reinforce, **settings: Any) -> Curriculum:
    return Curriculum(update, update.policy, update.supernet, **settings)


def run(phase: Phase, steps: int) -> Mapping[str, torch.Tensor]:
    for _ in range(steps * phase.epochs):
        found = phase.step(*(NOTHING for _ in phase.streams))
    return found


def of(path: Mapping[str, Sequence[int]]) -> float:
    """The share of edges with operation 5."""
    return sum(rows[0] == 5 for rows in path.values()) / len(path)


def test_every_stage_runs_the_whole_rule_over_its_share_of_the_epochs() -> None:
    update = rig(EDGES, of, warmup=1 / 3)
    phases = staged(update).phases(480)
    assert [phase.epochs for phase in phases] == [20, 40] * 8  # as released
    assert [phase.name for phase in phases[:3]] == ["1 warmup", "1 search", "2 warmup"]
    assert [phase.epochs for phase in staged(rig(EDGES, of)).phases(20)] == [2, 3, 2, 3, 2, 3, 2, 3]
    assert len(staged(rig(EDGES, of)).phases(3)) == 3
    assert [phase.name for phase in staged(rig(EDGES, of), stages=1).phases(9)] == ["search"]


def test_a_stage_draws_what_came_in_so_far_and_the_last_one_all_operations() -> None:
    """Of the eight operations all occur in the end; the released head has four outputs."""
    update = rig(EDGES, of, warmup=0.5, policy={"temperature": 1.0})
    curriculum = staged(update, seed=3)
    order = curriculum.growths["edge0"].order
    for stage, (warm, search) in enumerate(
        zip(*[iter(curriculum.phases(16))] * 2, strict=True)  # pairs
    ):
        for phase in (warm, search):
            assert float(run(phase, 1)["curriculum/candidates"]) == stage + 1
        seen = Counter[int]()
        for _ in range(60):
            for weights in update.policy().arch.values():
                seen[int(weights.values.argmax())] += 1  # type: ignore[union-attr]
        assert set(seen) <= set(order[: stage + 1])
    assert set(seen) == set(range(8))


def test_weights_and_policy_stay_the_same_objects() -> None:
    update = rig(EDGES, of, warmup=0.5)
    before = {id(p) for p in (*update.policy.parameters(), *update.supernet.parameters())}
    for phase in staged(update).phases(16):
        run(phase, 2)
    assert before == {id(p) for p in (*update.policy.parameters(), *update.supernet.parameters())}


def test_operation_warm_up_is_uniform_and_leaves_the_policy_as_it_is() -> None:
    update = rig(EDGES, of, warmup=0.5)
    phases = staged(update, seed=1).phases(16)
    for phase in phases[:10]:  # five stages
        run(phase, 5)
    taken = Counter[int]()
    plain = update.policy.uniform

    def watched() -> Any:
        sample = plain()
        taken.update(int(weights.values.argmax()) for weights in sample.arch.values())
        return sample

    update.policy.uniform = watched  # type: ignore[method-assign]
    before = copy.deepcopy(dict(update.policy.named_parameters()))
    run(phases[10], 1000)  # 4,000 draws
    assert all(torch.equal(before[n], p) for n, p in update.policy.named_parameters())
    assert sum(taken.values()) == 4000
    assert len(taken) == 6
    assert chisquare(list(taken.values())).pvalue > 0.01


def test_the_policy_finds_the_rewarded_operation_and_entropy_holds_it_back() -> None:
    """After 500 steps; weight of the entropy as released and ten times as large."""
    share = {}
    for entropy in (0.005, 0.05):
        update = rig(
            EDGES[:2],
            of,
            policy={"hidden": 32, "tanh_constant": None, "temperature": 1.0},
            entropy=entropy,
            architecture_clip=5.0,
        )
        for _ in range(500):
            update.policy_step(NOTHING)
        found = [float(w.values[0, 5]) for w in update.policy.probabilities().values()]  # type: ignore[union-attr]
        share[entropy] = sum(found) / len(found)
    assert share[0.005] > 0.6
    assert share[0.05] < share[0.005]


def test_a_state_goes_on_where_it_was() -> None:
    first, second = (staged(rig(EDGES, of, warmup=0.5), seed=2) for _ in range(2))
    phases = first.phases(16)
    for phase in phases[:7]:
        run(phase, 3)
    state = copy.deepcopy(first.state_dict())
    second.load_state_dict(state)
    for phases in (first.phases(16), second.phases(16)):
        seen = [run(phase, 3) for phase in phases[7:]]
    assert float(seen[0]["curriculum/candidates"]) == 4
    for name, parameter in first.policy.named_parameters():  # type: ignore[attr-defined]
        assert torch.equal(parameter, dict(second.policy.named_parameters())[name])  # type: ignore[attr-defined]


def test_a_search_that_goes_on_longer_closes_nothing_again() -> None:
    curriculum = staged(rig(EDGES, of))
    for phase in curriculum.phases(8):
        run(phase, 1)
    longer = staged(rig(EDGES, of))
    longer.load_state_dict(copy.deepcopy(curriculum.state_dict()))
    for phase in longer.phases(32)[2:]:
        assert float(run(phase, 1)["curriculum/candidates"]) == 8


def test_weights_and_policy_can_take_turns_by_epochs() -> None:
    phases = rig(EDGES, of, warmup=0.2, whole_epochs=True).phases(100)
    assert [phase.name for phase in phases[:5]] == [
        *("warmup", "weights", "policy", "weights", "policy")
    ]
    assert [phase.epochs for phase in phases] == [20] + [1] * 80
    assert [phase.streams for phase in phases[1:3]] == [("weights",), ("architecture",)]
    with pytest.raises(ConfigError, match=r"1 are left of trainer\.epochs"):
        rig(EDGES, of, whole_epochs=True).phases(1)


@pytest.mark.parametrize("stages", [0, -1, 1.5, True])
def test_a_number_of_stages_that_is_none_is_refused(stages: Any) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.curriculum\.stages must be a whole number"):
        staged(rig(EDGES, of), stages=stages)


def test_more_stages_than_epochs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"stages=5 needs as many epochs, got trainer\.epochs=3"):
        staged(rig(EDGES, of), stages=5).phases(3)


def test_a_policy_that_has_nothing_to_learn_grows_as_well() -> None:
    update = rig(EDGES, of)
    policy = Uniform(update.supernet.decisions)
    curriculum = Curriculum(update, policy, update.supernet)
    assert int(policy.mask("edge1").sum()) == 1
    assert isinstance(update.policy, Controller)
    run(curriculum.phases(8)[3], 1)
    assert int(policy.mask("edge1").sum()) == 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_stages_cost_little_where_nothing_has_to_be_learnt_first() -> None:
    """Equally many evaluations of a table: operation k is worth k/7 on every edge, noise has 0.3.

    The hypothesis was that few candidates first reach at least as much. They do not: means over
    these ten seeds were 0.847 (0.130) in stages and 0.933 (0.039) without, after half as many steps
    0.719 and 0.840. Rewards add up over edges here and no weights are trained, which a curriculum
    is for; what comes last has one stage left. So only that the difference stays as small is
    checked.
    """
    finals: dict[str, list[float]] = {"stages": [], "fixed": []}
    for seed in range(10):
        for name, stages in (("stages", None), ("fixed", 1)):
            generator = torch.Generator().manual_seed(seed)
            update = rig(
                EDGES[:3],
                lambda path, g=generator: worth(path) + 0.3 * float(torch.randn((), generator=g)),
                seed=seed,
                rate=3.5e-3,
                policy={"hidden": 16, "tanh_constant": None, "temperature": 1.0},
                entropy=0.005,
            )
            for phase in staged(update, stages=stages, seed=seed).phases(8):
                run(phase, 60)
            arch = update.policy.probabilities()
            values = [float((w.values[0] * torch.arange(8) / 7).sum()) for w in arch.values()]  # type: ignore[union-attr]
            finals[name].append(sum(values) / len(values))
    means = {name: sum(values) / len(values) for name, values in finals.items()}
    assert means["stages"] > 0.75
    assert means["fixed"] - means["stages"] < 0.15


def worth(path: Mapping[str, Sequence[int]]) -> float:
    """Mean worth of the operations on a path's edges."""
    return sum(rows[0] / 7 for rows in path.values()) / len(path)
