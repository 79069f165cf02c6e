import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.arch import Arch, Weights
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import FreeLogits
from nas.relaxations import Gumbel, Live, Relaxation, SinglePath, Softmax, UniformPath
from nas.supernet import Supernet
from search_spaces.darts import DartsSpace

DECISIONS = {
    d.name: d
    for d in (
        Decision("x", ("a", "b", "c")),
        Decision("inputs", (0, 1, 2), pick=2),
        Decision("y", ("a", "b", "c"), groups=2),
        Decision("z", (1, 2)),
    )
}


def values(arch: Arch) -> dict[str, Tensor]:
    return {name: w.values for name, w in arch.items() if isinstance(w, Weights)}


def equal(one: Arch, other: Arch) -> bool:
    a, b = values(one), values(other)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


class Spy(Softmax):
    """A softmax that remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[int, ...], int]] = []

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        self.calls.append((tuple(logits.shape), pick))
        return super().__call__(logits, mask, pick, generator)


def test_decisions_of_equal_length_and_pick_lie_in_one_stack() -> None:
    policy = FreeLogits(DECISIONS, Softmax())
    sizes = {name: tuple(p.shape) for name, p in policy.named_parameters()}
    assert sizes == {
        "stacks.alpha_3": (3, 3),
        "stacks.alpha_3_pick2": (1, 3),
        "stacks.alpha_2": (1, 2),
    }


def test_the_relaxation_is_called_once_per_stack() -> None:
    spy = Spy()
    FreeLogits(DECISIONS, spy)()
    assert sorted(spy.calls) == [((1, 2), 1), ((1, 3), 2), ((3, 3), 1)]


def test_rows_belong_to_their_decision() -> None:
    policy = FreeLogits(DECISIONS, Softmax())
    for index, name in enumerate(DECISIONS):
        policy.logits(name).copy_(torch.randn(DECISIONS[name].groups, len(DECISIONS[name])) + index)
    for arch in (policy().arch, policy.probabilities()):
        for name, found in values(arch).items():
            torch.testing.assert_close(found, policy.logits(name).softmax(-1))
    stack = policy.get_parameter("stacks.alpha_3")
    assert torch.equal(stack, torch.cat([policy.logits("x"), policy.logits("y")]))


def test_the_policy_owns_all_architecture_parameters_and_no_weights() -> None:
    space = DartsSpace(DataSpec((1, 8, 8), "classes", 2), channels=2, cells=3, nodes=2)
    supernet = Supernet(space.supernet())
    policy = FreeLogits(supernet.decisions, Softmax())
    weights = {id(p) for p in supernet.parameters()}
    assert not any(id(p) in weights for p in policy.parameters())
    wanted = sum(d.groups * len(d) for d in supernet.decisions.values())
    assert sum(p.numel() for p in policy.parameters()) == wanted
    loss = supernet(torch.randn(2, 1, 8, 8), policy().arch).square().sum()
    gradients = torch.autograd.grad(loss, list(policy.parameters()))
    assert all(g.abs().sum() > 0 for g in gradients)


def test_logits_start_small_and_as_the_seed_says() -> None:
    many = {"d": Decision("d", tuple(range(50)), groups=100)}
    (logits,) = FreeLogits(many, Softmax(), init_std=0.01, seed=1).parameters()
    assert logits.std().item() == pytest.approx(0.01, rel=0.05)
    assert abs(logits.mean().item()) < 0.001
    (again,) = FreeLogits(many, Softmax(), init_std=0.01, seed=1).parameters()
    (other,) = FreeLogits(many, Softmax(), init_std=0.01, seed=2).parameters()
    assert torch.equal(logits, again)
    assert not torch.equal(logits, other)


def test_the_seed_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    FreeLogits(DECISIONS, Gumbel(), seed=3)()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("relaxation", [Softmax(), Gumbel(hard=False)])
def test_a_soft_relaxation_refuses_hard_decisions(relaxation: Relaxation) -> None:
    hard = {"stage": Decision("stage", (1, 2), soft=False)}
    with pytest.raises(ConfigError, match=r"'stage' is hard .* use a sampled relaxation"):
        FreeLogits(hard, relaxation)


@pytest.mark.parametrize("relaxation", [Gumbel(), SinglePath(), UniformPath()])
def test_a_sampled_relaxation_takes_hard_decisions(relaxation: Relaxation) -> None:
    weights = FreeLogits({"s": Decision("s", (1, 2), soft=False)}, relaxation)().arch["s"]
    assert isinstance(weights, Weights)
    assert weights.index in (0, 1)


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(ConfigError, match="no decision; the space has nothing to search"):
        FreeLogits({}, Softmax())


def test_probabilities_are_free_of_noise_and_of_the_graph() -> None:
    policy, twin = FreeLogits(DECISIONS, Gumbel()), FreeLogits(DECISIONS, Gumbel())
    first = policy.probabilities()
    assert equal(first, policy.probabilities())
    assert not any(v.requires_grad for v in values(first).values())
    assert equal(policy().arch, twin().arch)  # asking did not advance the generator


def test_samples_advance_the_policys_own_generator() -> None:
    policy = FreeLogits({"d": Decision("d", tuple(range(40)))}, SinglePath())
    drawn = [policy().arch["d"] for _ in range(8)]
    assert len({w.live for w in drawn if isinstance(w, Weights)}) > 1


def save_and_load(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return dict(torch.load(buffer, weights_only=True))


def test_the_state_goes_through_a_file_with_generator_masks_and_pending_resets() -> None:
    policy = FreeLogits(DECISIONS, Gumbel(), seed=1)
    policy.set_mask("y", torch.tensor([[True, False, True], [True, True, False]]))
    for _ in range(3):
        policy()
    restored = FreeLogits(DECISIONS, Gumbel(), seed=2)
    restored.load_state_dict(save_and_load(policy.state_dict()))
    assert all(torch.equal(restored.mask(name), policy.mask(name)) for name in DECISIONS)
    assert [tuple(p.shape) for p in restored.take_reset()] == [(3, 3)]
    for _ in range(5):
        assert equal(restored().arch, policy().arch)
    assert equal(restored.probabilities(), policy.probabilities())


def test_a_copy_samples_as_the_original_but_on_its_own() -> None:
    policy = FreeLogits(DECISIONS, Gumbel())
    twin = copy.deepcopy(policy)
    assert equal(policy().arch, twin().arch)
    twin.set_mask("z", [True, False])
    twin.logits("x").fill_(3.0)
    assert policy.mask("z").all()
    assert float(policy.logits("x").max()) < 1.0
