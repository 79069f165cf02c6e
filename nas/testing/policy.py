"""The contract of a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError, NasError
from nas.policies import Policy, Sample
from nas.supernet import Supernet
from nas.testing.common import attempting, require, seeded
from nas.testing.states import through_file

MakePolicy = Callable[[Mapping[str, Decision], int], Policy]
DRAWS = 4

SOFT = {
    d.name: d
    for d in (
        Decision("cell/edge", ("a", "b", "c")),
        Decision("cell/other", ("a", "b", "c")),
        Decision("cell/inputs", (0, 1, 2, 3), pick=2),
        Decision("width", (2, 4, 8), kind="nested", groups=3),
    )
}
HARD = Decision("place", (1, 2), soft=False)


def check_policy(make: MakePolicy, *, supernet: Supernet | None = None, seed: int = 0) -> None:
    """Check a policy: what it hands out, what it owns, and that its state is complete.

    It gives weights for every decision; every tensor that these depend on is among its parameters,
    none of which is a weight of the supernet; masked candidates get exactly 0; a soft policy
    refuses hard decisions by an error that names one; a policy loaded from a state goes on exactly
    as the one saved, its random numbers included.

    Args:
        make: ``make(decisions, seed)`` builds the policy.
        supernet: the policy is also made for its decisions, and must own none of its weights.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    with seeded(seed):
        _check_sample(make)
        _check_ownership(make, SOFT, [])
        if supernet is not None:
            _check_ownership(make, supernet.decisions, list(supernet.parameters()))
        _check_probabilities(make)
        _check_random_numbers(make)
        _check_hard(make)
        _check_masks(make)
        _check_state(make)


def _build(make: MakePolicy, decisions: Mapping[str, Decision], seed: int) -> Policy:
    with attempting(f"making a policy for {len(decisions)} decisions"):
        policy = make(decisions, seed)
    require(
        isinstance(policy, Policy),
        f"{type(policy).__name__} lacks a part of nas.policies.Policy: "
        f"{', '.join(n for n in _parts() if not hasattr(policy, n))}",
    )
    return policy


def _parts() -> tuple[str, ...]:
    return (
        *("decisions", "probabilities", "mask", "set_mask", "held", "take_reset"),
        *("parameters", "state_dict", "load_state_dict"),
    )


def _draw(policy: Policy) -> dict[str, Weights]:
    with attempting("calling the policy"):
        sample = policy()
    require(isinstance(sample, Sample), f"a policy returns a Sample, not {type(sample).__name__}")
    return _weights(sample.arch)


def _weights(arch: Mapping[str, Any]) -> dict[str, Weights]:
    return {name: given for name, given in arch.items() if isinstance(given, Weights)}


def _is_soft(make: MakePolicy) -> bool:
    found = _draw(_build(make, SOFT, 0))
    return any(len(found[name].live) > SOFT[name].pick for name in found if SOFT[name].groups == 1)


def _check_sample(make: MakePolicy) -> None:
    policy = _build(make, SOFT, 0)
    for _ in range(DRAWS):
        _check_arch(_draw(policy))
    _check_arch(_weights(policy.probabilities()))


def _check_arch(arch: Mapping[str, Weights]) -> None:
    missing = [name for name in SOFT if name not in arch]
    require(not missing, f"the policy gives no weights for decision {missing[:1]}")
    for name, decision in SOFT.items():
        values = arch[name].values.detach()
        shape = (decision.groups, len(decision))
        require(
            tuple(values.shape) == shape,
            f"weights of {name!r} must have the shape {shape}, got {tuple(values.shape)}",
        )
        sums = values.sum(-1)
        whole = torch.ones_like(sums)
        require(
            bool((values >= 0).all())
            and (torch.allclose(sums, whole) or torch.allclose(sums, decision.pick * whole)),
            f"weights of {name!r} must be at least 0 and sum to 1 (or to {decision.pick} ones), "
            f"got {values.tolist()}",
        )
        weighted = {i for i, v in enumerate(values.amax(0).tolist()) if v != 0}
        require(
            weighted <= set(arch[name].live),
            f"candidates {weighted} of {name!r} have weights, but only {arch[name].live} are live",
        )


def _check_ownership(
    make: MakePolicy, decisions: Mapping[str, Decision], weights: list[torch.nn.Parameter]
) -> None:
    soft = {name: decision for name, decision in decisions.items() if decision.soft}
    policy = _build(make, soft, 0)
    owned = {id(parameter) for parameter in policy.parameters()}
    for name, given in _draw(policy).items():
        hidden = [leaf for leaf in _leaves(given.values) if id(leaf) not in owned]
        require(
            not hidden,
            f"the weights of {name!r} depend on a tensor that is not among policy.parameters(): it "
            "would never be trained or saved; register it as a parameter",
        )
    taken = [tuple(w.shape) for w in weights if id(w) in owned]
    require(
        not taken, f"the policy owns weights of the supernet, one of shape {taken[:1]}; it must not"
    )


def _leaves(value: Tensor) -> Iterator[Tensor]:
    """Every tensor with a gradient that ``value`` was computed from."""
    todo, seen = [value.grad_fn], set()
    if value.requires_grad and value.is_leaf:
        yield value
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            yield variable
        todo += [parent for parent, _ in node.next_functions]


def _check_probabilities(make: MakePolicy) -> None:
    policy = _build(make, SOFT, 0)
    first, second = _weights(policy.probabilities()), _weights(policy.probabilities())
    for name in SOFT:
        require(
            torch.equal(first[name].values, second[name].values),
            f"probabilities() of {name!r} change from call to call; they must be free of noise",
        )
        require(not first[name].values.requires_grad, "probabilities() must be outside the graph")
    untouched = _build(make, SOFT, 0)
    require(
        _equal(_draw(policy), _draw(untouched)),
        "probabilities() draws random numbers: logging would change the search",
    )


def _check_random_numbers(make: MakePolicy) -> None:
    before = torch.get_rng_state()
    one, other = _build(make, SOFT, 3), _build(make, SOFT, 3)
    require(
        all(_equal(_draw(one), _draw(other)) for _ in range(DRAWS)),
        "the same seed gives different samples",
    )
    require(
        torch.equal(before, torch.get_rng_state()),
        "the policy uses global random numbers; it needs a generator of its own, in its state",
    )


def _check_hard(make: MakePolicy) -> None:
    if not _is_soft(make):
        for _ in range(DRAWS):
            with attempting(f"reading the hard decision {HARD.name!r} of a sampled policy"):
                _ = _draw(_build(make, {HARD.name: HARD}, 0))[HARD.name].index
        return
    try:
        make({**SOFT, HARD.name: HARD}, 0)
    except NasError as error:
        require(
            HARD.name in str(error), f"the refusal of a hard decision does not name it: {error}"
        )
    else:
        raise AssertionError(
            f"the policy is soft, but takes the hard decision {HARD.name!r}; it must refuse it "
            "with a ConfigError, since shapes depend on it"
        )


def _check_masks(make: MakePolicy) -> None:
    policy = _build(make, SOFT, 0)
    name, mask = "cell/edge", [True, False, True]
    try:
        policy.set_mask(name, mask)
    except ConfigError:  # nothing to choose, nothing to mask
        return
    require(policy.mask(name)[0].tolist() == mask, "mask() does not give what set_mask() was told")
    require(bool(policy.mask("cell/other").all()), "set_mask() of one decision changed another's")
    for arch in (*(_draw(policy) for _ in range(DRAWS)), _weights(policy.probabilities())):
        leak = float(arch[name].values[0, 1].detach())
        require(
            leak == 0 and 1 not in arch[name].live,
            f"a masked candidate of {name!r} leaks: weight {leak:g}, live {arch[name].live}",
        )
    if list(policy.parameters()):
        require(
            any(not bool(allowed.all()) for _, allowed in policy.held()),
            "held() does not name the parameter that is masked, so that decay would move it",
        )
        require(bool(policy.take_reset()), "take_reset() must name a parameter whose mask changed")
        require(not policy.take_reset(), "take_reset() must forget what it has told")
    try:
        policy.set_mask("cell/inputs", [True, False, False, False])
    except NasError:
        return
    raise AssertionError("set_mask() leaves fewer candidates than must be picked; it must refuse")


def _check_state(make: MakePolicy) -> None:
    policy = _build(make, SOFT, 0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter))
    with suppress(ConfigError):
        policy.set_mask("cell/edge", [True, True, False])
    _draw(policy)
    state = through_file(policy.state_dict(), "the policy's state_dict()")
    expected = [_draw(policy) for _ in range(DRAWS)]
    other = _build(make, SOFT, 1)
    with attempting("loading the policy's state"):
        other.load_state_dict(state)
    require(
        _equal(_weights(policy.probabilities()), _weights(other.probabilities())),
        "the policy's state does not hold everything: its probabilities differ after loading",
    )
    for draw, wanted in enumerate(expected, start=1):
        require(
            _equal(_draw(other), wanted),
            f"the policy's state does not hold everything: sample {draw} after loading differs; "
            "does it hold the generator and the masks?",
        )
    require(
        all(torch.equal(policy.mask(name), other.mask(name)) for name in SOFT),
        "the policy's state does not hold its masks",
    )


def _equal(left: Mapping[str, Weights], right: Mapping[str, Weights]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[n].values, right[n].values) and left[n].live == right[n].live for n in left
    )
