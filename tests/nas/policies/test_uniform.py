from collections import Counter
from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare

from nas.arch import Weights
from nas.decision import Decision
from nas.policies import Uniform

DECISIONS = {
    d.name: d
    for d in (
        Decision("op", ("a", "b", "c")),
        Decision("inputs", (0, 1, 2, 3), pick=2),
        Decision("twice", ("a", "b", "c"), groups=2),
    )
}


def draws(policy: Uniform, name: str, number: int = 1500) -> Counter[tuple[int, ...]]:
    found = Counter[tuple[int, ...]]()
    for _ in range(number):
        weights = policy().arch[name]
        assert isinstance(weights, Weights)
        found[tuple(weights.values.flatten().nonzero().flatten().tolist())] += 1
    return found


def test_all_sets_are_equally_likely_and_groups_independent() -> None:
    policy = Uniform(DECISIONS)
    singles = draws(policy, "op")
    assert chisquare([singles[(i,)] for i in range(3)]).pvalue > 1e-3
    pairs = draws(policy, "inputs")
    assert chisquare([pairs[kept] for kept in combinations(range(4), 2)]).pvalue > 1e-3
    both = draws(policy, "twice")
    assert chisquare([both[i, 3 + j] for i in range(3) for j in range(3)]).pvalue > 1e-3


def test_a_mask_makes_the_rest_equally_likely() -> None:
    policy = Uniform(DECISIONS)
    policy.set_mask("op", [True, False, True])
    found = draws(policy, "op", 600)
    assert set(found) == {(0,), (2,)}
    assert chisquare([found[(0,)], found[(2,)]]).pvalue > 1e-3
    weights = policy.probabilities()["op"]
    assert isinstance(weights, Weights)
    assert weights.values.tolist() == [[0.5, 0.0, 0.5]]


def test_the_state_holds_generator_and_masks() -> None:
    policy, restored = Uniform(DECISIONS, seed=1), Uniform(DECISIONS, seed=2)
    policy.set_mask("inputs", [True, True, True, False])
    policy()
    restored.load_state_dict(policy.state_dict())
    assert torch.equal(restored.mask("inputs"), policy.mask("inputs"))
    for _ in range(10):
        mine, theirs = restored().arch, policy().arch
        for name in DECISIONS:
            a, b = mine[name], theirs[name]
            assert isinstance(a, Weights)
            assert isinstance(b, Weights)
            assert torch.equal(a.values, b.values)
            assert a.live == b.live


@pytest.mark.parametrize("seed", range(5))
def test_fair_paths_take_every_candidate_equally_often(seed: int) -> None:
    policy = Uniform(DECISIONS, seed)
    policy.set_mask("op", [True, False, True])
    paths = [sample.arch for sample in policy.fair()]
    assert len(paths) == 4  # the longest row
    taken: dict[str, list[list[float]]] = {}
    for name, decision in DECISIONS.items():
        values = [path[name].values for path in paths]  # type: ignore[union-attr]
        for path, hot in zip(paths, values, strict=True):
            assert hot.sum(-1).tolist() == [decision.pick] * decision.groups
            live = sorted({i for row in hot for i in row.nonzero().flatten().tolist()})
            assert path[name].live == tuple(live)  # type: ignore[union-attr]
        taken[name] = torch.stack(values).sum(0).tolist()
    assert taken["inputs"] == [[2.0] * 4]
    assert taken["op"] == [[2.0, 0.0, 2.0]]
    assert all(sorted(row) == [1.0, 1.0, 2.0] for row in taken["twice"])


def test_fair_paths_are_permutations_that_are_equally_likely_and_independent() -> None:
    decisions = {name: Decision(name, ("a", "b", "c")) for name in ("left", "right")}
    policy = Uniform(decisions, seed=3)
    orders, firsts = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for _ in range(900):
        paths = [sample.arch for sample in policy.fair()]
        orders[tuple(path["left"].index for path in paths)] += 1  # type: ignore[union-attr]
        first = paths[0]
        firsts[first["left"].index, first["right"].index] += 1  # type: ignore[union-attr]
    assert len(orders) == 6
    assert chisquare(list(orders.values())).pvalue > 1e-3
    assert len(firsts) == 9
    assert chisquare(list(firsts.values())).pvalue > 1e-3


def test_the_state_holds_where_fair_paths_go_on() -> None:
    policy, restored = Uniform(DECISIONS, seed=1), Uniform(DECISIONS, seed=2)
    policy.fair()
    restored.load_state_dict(policy.state_dict())
    for mine, theirs in zip(policy.fair(), restored.fair(), strict=True):
        for name in DECISIONS:
            a, b = mine.arch[name], theirs.arch[name]
            assert isinstance(a, Weights)
            assert isinstance(b, Weights)
            assert torch.equal(a.values, b.values)


def test_what_no_genotype_keeps_is_never_drawn() -> None:
    kept = {"op": Decision("op", ("a", "c")), "elsewhere": Decision("elsewhere", (1,))}
    policy = Uniform(DECISIONS, kept=kept)
    assert policy.mask("op").tolist() == [[True, False, True]]
    assert set(draws(policy, "op", 50)) == {(0,), (2,)}
    assert all(path.arch["op"].live != (1,) for path in policy.fair())  # type: ignore[union-attr]
