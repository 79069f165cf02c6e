from collections import Counter
from itertools import combinations

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
