"""The controller against a second implementation that enumerates every sequence of draws."""

from __future__ import annotations

import copy
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Controller, Sample, SampledPolicy, Uniform
from nas.space import discretize
from nas.strategies.architecture_step import architecture_step
from tests.nas.policies.trajectories import Reference

DECISIONS = {
    d.name: d
    for d in (
        Decision("op", ("a", "b", "c")),
        Decision("inputs", (0, 1, 2), pick=2),
        Decision("width", (2, 4), kind="nested", groups=2),
        Decision("place", ("before", "after"), soft=False),
    )
}
Kept = tuple[tuple[str, int, tuple[int, ...]], ...]


def made(seed: int = 0, **settings: Any) -> Controller:
    """A controller whose distributions are far from uniform, and depend on earlier draws."""
    given: dict[str, Any] = {"hidden": 5, "init": 1.5, "temperature": 1.0, **settings}
    return Controller(DECISIONS, seed=seed, **given).double()


def kept(sample: Sample) -> Kept:
    """The indices of ones by decision and group."""
    found = []
    for name, weights in sample.arch.items():
        assert isinstance(weights, Weights)
        for group, row in enumerate(weights.values):
            found.append((name, group, tuple(row.nonzero().flatten().tolist())))
    return tuple(found)


@pytest.mark.parametrize("constant", [None, 2.5, 0.7])
def test_samples_their_probabilities_and_entropies_are_those_of_enumeration(
    constant: float | None,
) -> None:
    policy = made(tanh_constant=constant, temperature=1.7)
    policy.set_mask("op", [True, False, True])
    known: dict[Kept, list[tuple[float, float]]] = {}
    total, mean_entropy, joint = 0.0, 0.0, 0.0
    for each in Reference(policy).trajectories():
        known.setdefault(each.kept, []).append((each.log_p, each.entropy))
        p = math.exp(each.log_p)
        total, mean_entropy = total + p, mean_entropy + p * each.entropy
        joint -= p * each.log_p
    assert total == pytest.approx(1)
    assert mean_entropy == pytest.approx(joint)  # what the sample's entropy is an estimate of
    assert len(known) == 2 * 3 * 4 * 2
    assert sum(map(len, known.values())) == 2 * len(known)  # either input may come first
    drawn = Counter[Kept]()
    number = 400
    for _ in range(number):
        sample = policy()
        drawn[kept(sample)] += 1
        pair = torch.stack([sample.log_prob, sample.entropy]).tolist()
        gaps = [np.abs(np.subtract(pair, order)).max() for order in known[kept(sample)]]
        assert min(gaps) < 1e-9
    shares = {path: sum(math.exp(log_p) for log_p, _ in orders) for path, orders in known.items()}
    likely = [path for path, share in shares.items() if share * number >= 5]
    rest = 1 - sum(shares[path] for path in likely)
    seen = [drawn[path] for path in likely]
    wanted = [number * shares[path] for path in likely]
    if rest > 1e-9:
        seen, wanted = [*seen, number - sum(seen)], [*wanted, number * rest]
    assert chisquare(seen, np.array(wanted) * number / sum(wanted)).pvalue > 1e-3


def test_decisions_depend_on_what_was_drawn_before() -> None:
    """The second decision's distribution differs with the first choice: no product of marginals."""
    shares: dict[tuple[int, int], float] = {}
    for each in Reference(made()).trajectories():
        key = each.draws[0][2], each.draws[-1][2]
        shares[key] = shares.get(key, 0.0) + math.exp(each.log_p)
    given = [shares[first, 0] / (shares[first, 0] + shares[first, 1]) for first in range(3)]
    assert max(given) - min(given) > 0.05


def test_one_hot_weights_whose_candidates_alone_are_live() -> None:
    policy = made()
    for _ in range(20):
        for name, weights in policy().arch.items():
            assert isinstance(weights, Weights)
            decision = DECISIONS[name]
            assert weights.values.shape == (decision.groups, len(decision))
            assert weights.values.sum(-1).tolist() == [decision.pick] * decision.groups
            assert set(weights.values.unique().tolist()) <= {0.0, 1.0}
            assert weights.live == tuple(weights.values.amax(0).nonzero().flatten().tolist())
            assert not weights.values.requires_grad


def test_probabilities_are_the_distributions_along_the_likeliest_path() -> None:
    for seed in range(5):
        policy = made(seed)
        reference = Reference(policy)
        zeros = np.zeros(5)
        state, path = (reference.p["start"][0], zeros, zeros), []
        expected: dict[tuple[str, int], list[Any]] = {}
        for name, group, _ in reference.turns:
            hidden, cell = reference._step(state)
            taken = [index for n, g, index in path if (n, g) == (name, group)]
            p = reference._distribution(name, group, hidden, taken)
            expected.setdefault((name, group), []).append(p)
            index = int(p.argmax())
            path.append((name, group, index))
            key, start = reference.place[name]
            state = reference.p[f"embeddings.{key}"][start + group, index], hidden, cell
        found = policy.probabilities()
        for (name, group), rows in expected.items():
            weights = found[name]
            assert isinstance(weights, Weights)
            row = weights.values[group].numpy()
            assert row.sum() == pytest.approx(1)
            if len(rows) == 1:
                np.testing.assert_allclose(row, rows[0], atol=1e-12)
                continue
            first, second = rows
            best = int(first.argmax())
            assert row[best] == pytest.approx(first[best])
            others = np.delete(row, best) / (1 - row[best])  # draws without replacement
            np.testing.assert_allclose(others, np.delete(second, best), atol=1e-12)


def test_asking_for_probabilities_changes_nothing() -> None:
    policy, other = made(3), made(3)
    for _ in range(3):
        policy.probabilities()
        assert kept(policy()) == kept(other())
    assert all(p.grad is None for p in policy.parameters())


def test_the_likeliest_path_is_what_is_derived() -> None:
    class Space:
        decisions = DECISIONS

    sure = 0
    for seed in range(6):
        policy = made(seed, init=6.0, tanh_constant=None)
        best = max(Reference(policy).trajectories(), key=lambda each: each.log_p)
        found = discretize(Space(), policy.probabilities())  # type: ignore[arg-type]
        if best.log_p > math.log(0.5):  # then each of its draws is the likeliest one
            sure += 1
            for name, group, rows in best.kept:
                assert DECISIONS[name].positions(found[name])[group] == rows
    assert sure >= 3


def test_a_growing_mask_leaves_what_was_learnt_and_lets_the_new_candidate_in() -> None:
    policy = made(init=0.1)
    policy.set_mask("op", [True, False, False])
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    objects = {name: id(p) for name, p in policy.named_parameters()}
    assert {policy().arch["op"].live for _ in range(20)} == {(0,)}  # type: ignore[union-attr]
    assert policy().entropy < math.log(3) + 3 * math.log(2) + math.log(2) + 0.01
    policy.take_reset()
    for mask in ([True, True, False], [True, True, True]):
        policy.set_mask("op", mask)
        names = {id(p): n for n, p in policy.named_parameters()}
        assert {names[id(p)] for p in policy.take_reset()} == {
            f"{part}.alpha_3" for part in ("biases", "heads", "embeddings")
        }
        seen = {policy().arch["op"].live for _ in range(60)}  # type: ignore[union-attr]
        assert seen == {(i,) for i, allowed in enumerate(mask) if allowed}
    assert objects == {name: id(p) for name, p in policy.named_parameters()}
    assert all(torch.equal(p, before[name]) for name, p in policy.named_parameters())
    assert policy.held() == []


def test_what_is_masked_neither_learns_nor_decays() -> None:
    policy = made()
    policy.set_mask("op", [True, False, True])
    names = {id(p): name for name, p in policy.named_parameters()}
    may = {names[id(p)]: mask for p, mask in policy.held()}
    assert set(may) == {f"{part}.alpha_3" for part in ("biases", "heads", "embeddings")}
    optimizer = torch.optim.Adam(policy.parameters(), 0.1, weight_decay=0.1)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    for _ in range(3):
        sample = policy()
        loss = sample.log_prob + sample.entropy
        gradients = torch.autograd.grad(loss, list(policy.parameters()), allow_unused=True)
        assert all(g is None or bool(g.isfinite().all()) for g in gradients)
        architecture_step(policy, optimizer, gradients)
    for name, parameter in policy.named_parameters():
        moved = parameter != before[name]
        if name in may:
            assert not moved[~may[name]].any()
            assert moved[may[name]].all()
        else:
            assert moved.any(), name


def test_the_state_holds_generator_masks_and_what_is_to_be_reset() -> None:
    policy, restored = made(1), made(2)
    policy.set_mask("inputs", [True, False, True])
    policy()
    policy.uniform()
    restored.load_state_dict(policy.state_dict())
    assert torch.equal(restored.mask("inputs"), policy.mask("inputs"))
    assert len(restored.take_reset()) == len(policy.take_reset()) == 3
    twin = copy.deepcopy(policy)
    for _ in range(5):
        one, other, third = policy(), restored(), twin()
        assert kept(one) == kept(other) == kept(third)
        assert torch.equal(one.log_prob, other.log_prob)
        assert kept(policy.uniform()) == kept(restored.uniform()) == kept(twin.uniform())


def test_uniform_paths_take_allowed_candidates_equally_often_whatever_was_learnt() -> None:
    policy = made(init=5.0)
    policy.set_mask("op", [True, False, True])
    drawn = Counter[Kept]()
    for _ in range(4000):
        sample = policy.uniform()
        assert not sample.log_prob.requires_grad
        drawn[kept(sample)] += 1
    assert len(drawn) == 2 * 3 * 4 * 2
    assert chisquare(list(drawn.values())).pvalue > 1e-2


def test_what_no_genotype_keeps_is_never_drawn_and_needs_no_reset() -> None:
    policy = Controller(DECISIONS, kept={"op": Decision("op", ("a", "c")), "x": DECISIONS["op"]})
    assert policy.mask("op").tolist() == [[True, False, True]]
    assert policy.take_reset() == []


def test_the_policy_is_one_of_samples() -> None:
    assert isinstance(made(), SampledPolicy)
    assert not isinstance(Uniform(DECISIONS), SampledPolicy)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden": 0}, "hidden must be a whole number above 0, got 0"),
        ({"tanh_constant": 0.0}, r"tanh_constant must be a number above 0, got 0\.0"),
        ({"temperature": -1.0}, "temperature must be a number above 0"),
        ({"init": float("nan")}, "init must be a number above 0, got nan"),
        ({"decisions": {}}, "the space has nothing to search"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Controller(**{"decisions": DECISIONS, **settings})
