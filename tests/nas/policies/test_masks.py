"""Masks: what they forbid, which ones are refused, and what the optimizer then does."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Controller, Fixed, FreeLogits, Policy, Uniform
from nas.relaxations import Gumbel, SinglePath, Softmax, UniformPath
from nas.strategies.architecture_step import architecture_step

DECISIONS = {
    d.name: d
    for d in (
        Decision("op", ("a", "b", "c")),
        Decision("twice", ("a", "b", "c"), groups=2),
        Decision("inputs", (0, 1, 2, 3), pick=2),
    )
}
MASKED: dict[str, Callable[[], Policy]] = {
    "softmax": lambda: FreeLogits(DECISIONS, Softmax()),
    "gumbel": lambda: FreeLogits(DECISIONS, Gumbel()),
    "single path": lambda: FreeLogits(DECISIONS, SinglePath()),
    "uniform path": lambda: FreeLogits(DECISIONS, UniformPath()),
    "uniform": lambda: Uniform(DECISIONS),
    "controller": lambda: Controller(DECISIONS),
}


def weights_of(policy: Policy, name: str) -> Weights:
    weights = policy().arch[name]
    assert isinstance(weights, Weights)
    return weights


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED.keys())
def test_what_is_masked_has_weight_zero_and_is_not_live(make: Callable[[], Policy]) -> None:
    policy = make()
    policy.set_mask("op", [True, False, True])
    policy.set_mask("twice", torch.tensor([[True, True, False], [False, True, False]]))
    policy.set_mask("inputs", [False, True, False, True])
    assert policy.mask("op").tolist() == [[True, False, True]]
    for name in DECISIONS:
        mask = policy.mask(name)
        for _ in range(20):
            weights = weights_of(policy, name)
            assert (weights.values[~mask] == 0).all()
            assert all(mask[:, i].any() for i in weights.live)
        noise_free = policy.probabilities()[name]
        assert isinstance(noise_free, Weights)
        assert (noise_free.values[~mask] == 0).all()
        torch.testing.assert_close(noise_free.values.sum(-1), torch.ones(len(mask)))
        assert noise_free.live == tuple(mask.any(0).nonzero().flatten().tolist())


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED.keys())
def test_a_mask_can_be_lifted_again(make: Callable[[], Policy]) -> None:
    policy = make()
    policy.set_mask("op", [False, False, True])
    assert weights_of(policy, "op").live == (2,)
    policy.set_mask("op", [True, True, True])
    seen = {i for _ in range(40) for i in weights_of(policy, "op").live}
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED.keys())
@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        ("op", [False] * 3, r"'op': the mask leaves 0 candidate\(s\), but 1 must be picked"),
        ("inputs", [True, False, False, False], r"leaves 1 candidate\(s\), but 2 must be picked"),
        ("twice", torch.tensor([[True] * 3, [False] * 3]), "leaves 0"),
        ("op", [True, True], r"a mask has shape \(1, 3\), or 3 entries .* got \(2,\)"),
        ("op", [True], r"got \(1,\)"),
        ("twice", torch.ones(3, 3, dtype=torch.bool), r"shape \(2, 3\).* got \(3, 3\)"),
        ("width", [True], "does not own decision 'width'"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_and_changes_nothing(
    make: Callable[[], Policy], name: str, mask: list[bool] | Tensor, message: str
) -> None:
    policy = make()
    with pytest.raises(ConfigError, match=message):
        policy.set_mask(name, mask)
    assert all(policy.mask(known).all() for known in DECISIONS)


def test_the_mask_that_is_read_is_a_copy() -> None:
    policy = FreeLogits(DECISIONS, Softmax())
    policy.mask("op").fill_(False)
    assert policy.mask("op").all()


def test_a_fixed_policy_has_no_mask_to_change() -> None:
    policy = Fixed(DECISIONS, {"op": "b", "inputs": (0, 3)})
    assert policy.mask("op").tolist() == [[False, True, False]]
    assert policy.mask("inputs").tolist() == [[True, False, False, True]]
    with pytest.raises(ConfigError, match="no mask to change; use FreeLogits or Uniform"):
        policy.set_mask("op", [True, True, True])


def test_only_policies_with_logits_hold_or_reset_parameters() -> None:
    for policy in (Uniform(DECISIONS), Fixed(DECISIONS, {"op": "a"})):
        assert policy.held() == []
        assert policy.take_reset() == []
        assert list(policy.parameters()) == []


def test_held_and_reset_name_the_stack_of_the_mask() -> None:
    policy = FreeLogits(DECISIONS, Softmax())
    assert policy.held() == []
    policy.set_mask("op", [True, True, True])
    assert policy.take_reset() == []  # nothing changed
    policy.set_mask("op", [True, False, True])
    ((parameter, allowed),) = policy.held()
    assert parameter is policy.get_parameter("stacks.alpha_3")
    assert allowed.tolist() == [[True, False, True], [True] * 3, [True] * 3]
    assert [p is parameter for p in policy.take_reset()] == [True]
    assert policy.take_reset() == []


# what the optimizer does with them

OPTIMIZERS: dict[str, Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "Adam with decay": lambda p: torch.optim.Adam(p, 0.1, (0.5, 0.999), weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
    "SGD": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
}


def one_decision() -> tuple[FreeLogits, torch.nn.Parameter]:
    policy = FreeLogits({"op": DECISIONS["op"]}, Softmax(), init_std=1.0)
    (parameter,) = policy.parameters()
    return policy, parameter


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_masked_logits_receive_neither_gradient_nor_decay(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
) -> None:
    policy, parameter = one_decision()
    optimizer = make([parameter])
    architecture_step(policy, optimizer, [torch.tensor([[1.0, 2.0, -1.0]])])  # moments before
    policy.set_mask("op", [True, False, True])
    before = parameter.detach().clone()
    for _ in range(5):
        effect = torch.tensor([[1.0, 2.0, -1.0]])
        weights = policy().arch["op"]
        assert isinstance(weights, Weights)
        gradients = torch.autograd.grad((weights.values * effect).sum(), [parameter])
        architecture_step(policy, optimizer, gradients)
    assert parameter[0, 1] == before[0, 1]
    assert (parameter[0, [0, 2]] != before[0, [0, 2]]).all()
    assert parameter.grad is None


def test_masked_gradients_count_neither_in_the_norm_nor_in_the_moments() -> None:
    policy, parameter = one_decision()
    policy.set_mask("op", [True, False, True])
    optimizer = torch.optim.SGD([parameter], 1.0, momentum=0.9)
    before = parameter.detach().clone()
    architecture_step(policy, optimizer, [torch.tensor([[3.0, 1e6, 4.0]])], clip=1.0)
    moved = before - parameter.detach()
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.0, 0.8]]), atol=1e-5, rtol=0)
    assert optimizer.state[parameter]["momentum_buffer"][0, 1] == 0.0


def test_a_changed_mask_resets_moments_and_step_count() -> None:
    policy, parameter = one_decision()
    optimizer = torch.optim.Adam([parameter], 0.1)
    policy.set_mask("op", [True, False, True])
    for _ in range(50):
        architecture_step(policy, optimizer, [torch.tensor([[1.0, 0.0, 1.0]])])
    assert int(optimizer.state[parameter]["step"]) == 50
    policy.set_mask("op", [True, True, True])
    before = parameter.detach().clone()
    architecture_step(policy, optimizer, [torch.tensor([[1.0, 1e-3, 1.0]])])
    assert int(optimizer.state[parameter]["step"]) == 1
    # Adam's first step is the learning rate, whatever the gradient; without the reset the second
    # moment of the new logit would still be near 0 and its step about fifteen times as long.
    step = (before - parameter.detach()).abs()
    torch.testing.assert_close(step, torch.full((1, 3), 0.1), atol=1e-4, rtol=0)


def test_an_unchanged_mask_leaves_the_moments_alone() -> None:
    policy, parameter = one_decision()
    optimizer = torch.optim.Adam([parameter], 0.1)
    for _ in range(3):
        policy.set_mask("op", [True, True, True])
        architecture_step(policy, optimizer, [torch.ones(1, 3)])
    assert int(optimizer.state[parameter]["step"]) == 3


def test_without_masks_a_step_is_the_optimizers_own() -> None:
    (policy, ours), (_, theirs) = one_decision(), one_decision()
    assert torch.equal(ours, theirs)
    mine, plain = torch.optim.Adam([ours], 0.1), torch.optim.Adam([theirs], 0.1)
    for _ in range(4):
        gradient = torch.randn(1, 3)
        architecture_step(policy, mine, [gradient.clone()])
        theirs.grad = gradient
        plain.step()
    assert torch.equal(ours, theirs)


def test_a_logit_without_gradient_stays() -> None:
    policy = FreeLogits(DECISIONS, Softmax())
    parameters = list(policy.parameters())
    optimizer = torch.optim.Adam(parameters, 0.1, weight_decay=0.1)
    before = [p.detach().clone() for p in parameters]
    architecture_step(policy, optimizer, [None, torch.ones(1, 4)])
    assert torch.equal(parameters[0], before[0])
    assert not torch.equal(parameters[1], before[1])
