"""The contracts of relaxations and policies: good ones pass, every fault is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest
from torch import nn

from nas.decision import Decision
from nas.policies import ConditionalLogits, Controller, Fixed, FreeLogits, Policy, Split, Uniform
from nas.relaxations import (
    BinaryGates,
    Gumbel,
    HardConcrete,
    Relaxation,
    SinglePath,
    Softmax,
    UniformPath,
)
from nas.supernet import Supernet
from nas.testing import check_policy, check_relaxation, toys
from tests.contracts import broken_policies as broken

RELAXATIONS: dict[str, Callable[[], Relaxation]] = {
    "softmax": Softmax,
    "softmax, warm": partial(Softmax, 3.0),
    "gumbel": Gumbel,
    "gumbel, cold": partial(Gumbel, 0.2),
    "gumbel, soft": partial(Gumbel, hard=False),
    "single path": SinglePath,
}


@pytest.mark.parametrize("make", RELAXATIONS.values(), ids=RELAXATIONS.keys())
def test_good_relaxations_pass(make: Callable[[], Relaxation]) -> None:
    check_relaxation(make)


def test_relaxations_of_one_candidate_pass() -> None:
    check_relaxation(HardConcrete)
    check_relaxation(BinaryGates, several=False)


def test_a_relaxation_that_ignores_the_logits_must_say_so() -> None:
    check_relaxation(UniformPath, differentiable=False)
    with pytest.raises(AssertionError, match="differentiable=False"):
        check_relaxation(UniformPath)


BROKEN_RELAXATIONS: dict[str, tuple[Callable[[], Relaxation], str]] = {
    "sums": (broken.Sigmoid, "rows must sum to 1"),
    "masked weight": (broken.Unmasked, "masked candidates leak: their weight"),
    "masked live": (broken.AllLive, "masked candidates leak: .* are live"),
    "gates": (broken.Negative, "negative|gates"),
    "no gradient": (broken.Detached, "do not depend on the logits"),
    "some gradients": (broken.FirstRows, "rows of logits get no gradient"),
    "not hard": (broken.HardInName, "must sum to 2|ones and zeros"),
    "global random numbers": (broken.GlobalNoise, "same generator state|global random numbers"),
    "own random numbers": (broken.OwnNoise, "same generator state"),
    "in place": (broken.InPlace, "changed in place"),
    "inverted temperature": (broken.Inverted, "at temperature 0.001 only"),
    "no limit": (broken.Bounded, "does not decide"),
    "backwards": (broken.Backwards, "does not decide"),
}


@pytest.mark.parametrize(
    ("make", "sentence"), BROKEN_RELAXATIONS.values(), ids=BROKEN_RELAXATIONS.keys()
)
def test_faults_of_relaxations_are_found(make: Callable[[], Relaxation], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_relaxation(make)


def free(relaxation: Callable[[], Relaxation]) -> Callable[..., Policy]:
    return lambda decisions, seed: FreeLogits(decisions, relaxation(), seed=seed)


def fixed(decisions: Mapping[str, Decision], seed: int) -> Policy:
    return Fixed(
        decisions, {n: d.choice([list(range(d.pick))] * d.groups) for n, d in decisions.items()}
    )


def controller(decisions: Mapping[str, Decision], seed: int) -> Policy:
    return Controller(decisions, seed=seed)


def split(gates: Callable[[], Relaxation]) -> Callable[..., Policy]:
    def make(decisions: Mapping[str, Decision], seed: int) -> Policy:
        nested = {name: each for name, each in decisions.items() if each.kind == "nested"}
        others = {name: each for name, each in decisions.items() if name not in nested}
        parts = {"policy": (others, Softmax()), "gates": (nested, gates())}
        return Split({n: FreeLogits(d, r, seed=seed) for n, (d, r) in parts.items() if d})

    return make


def told(condition: float, relaxation: Callable[[], Relaxation]) -> Callable[..., Policy]:
    """Conditional logits that are told a condition."""

    def make(decisions: Mapping[str, Decision], seed: int) -> Policy:
        policy = ConditionalLogits(decisions, relaxation(), seed=seed)
        policy.condition = condition
        return policy

    return make


POLICIES = {name: free(make) for name, make in RELAXATIONS.items()}
POLICIES |= {"uniform path": free(UniformPath), "uniform": Uniform, "fixed": fixed}
POLICIES |= {"controller": controller}
POLICIES |= {"softmax, hard concrete": split(HardConcrete), "softmax, binary": split(BinaryGates)}
POLICIES |= {f"conditional, {name}": told(0.3, make) for name, make in RELAXATIONS.items()}


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES.keys())
def test_good_policies_pass(make: Callable[..., Policy]) -> None:
    check_policy(make, supernet=Supernet(toys.Edges().supernet()))


BROKEN_POLICIES: dict[str, tuple[Callable[..., Policy], str]] = {
    "hidden parameter": (broken.HidesParameter, r"not among policy.parameters\(\)"),
    "takes hard decisions": (broken.TakesHard, "takes the hard decision 'place'"),
    "state without generator": (broken.ForgetsGenerator, "sample 1 after loading differs"),
    "state without masks": (broken.ForgetsMasks, "state does not hold everything"),
    "noisy probabilities": (broken.NoisyProbabilities, "free of noise"),
    "unseeded": (broken.Unseeded, "same seed|global random numbers|draws random numbers"),
    "groups": (broken.WrongShape, "must have the shape"),
    "masked parameters not told": (broken.NothingHeld, r"held\(\)"),
    "mask": (broken.LeakyMask, "masked candidate of 'cell/edge' leaks"),
    "no policy": (lambda decisions, seed: nn.Linear(1, 1), "lacks a part"),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN_POLICIES.values(), ids=BROKEN_POLICIES.keys())
def test_faults_of_policies_are_found(make: Callable[..., Policy], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_policy(make)


def test_a_policy_that_owns_weights_is_found() -> None:
    supernet = Supernet(toys.Plain().supernet())
    weight = next(supernet.parameters())
    with pytest.raises(AssertionError, match="owns weights of the supernet"):
        check_policy(
            lambda decisions, seed: broken.OwnsWeights(decisions, seed, weight), supernet=supernet
        )
