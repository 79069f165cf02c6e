from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.arch import Arch
from nas.batch import Batch
from nas.compression import Compressed, Compression
from nas.dataspec import DataSpec
from nas.decision import Candidate, Decision
from nas.errors import ConfigError
from nas.objectives import Objective, Penalty
from nas.policies import FreeLogits, Sample
from nas.relaxations import Gumbel, Softmax
from nas.searchable import MixedOp, apply_partial_channels
from nas.strategies import Bilevel, Phase, Update
from nas.strategies.architecture_step import architecture_step
from nas.supernet import Supernet
from nas.tasks import Classification
from search_spaces.darts import DartsSpace
from search_spaces.superbit import BackboneSpace

RATE, MOMENTUM, DECAY = 0.05, 0.9, 1e-2
ACTIVATIONS: dict[Candidate, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}


def edge(name: str) -> MixedOp:
    def make(candidate: Candidate) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 6, bias=False), ACTIVATIONS[candidate]())

    return MixedOp(Decision(name, tuple(ACTIVATIONS)), make)


def mlp(norm: bool = False) -> Supernet:
    """Two mixed layers of three operations each, in double precision."""
    layers: list[nn.Module] = [nn.Linear(5, 6), edge("first"), edge("second"), nn.Linear(6, 4)]
    if norm:
        layers.insert(1, nn.BatchNorm1d(6))
    return Supernet(nn.Sequential(*layers)).double()


class Gradients(torch.optim.SGD):
    """Plain descent of rate 1, so that a step moves the logits by their gradient."""

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        super().__init__(parameters, lr=1.0)


Made = tuple[Bilevel, Batch, Batch]


def made(
    order: int = 1,
    *,
    supernet: Supernet | None = None,
    objective: Objective | None = None,
    policy: FreeLogits | None = None,
    **arguments: Any,
) -> Made:
    supernet = supernet or mlp()
    if policy is None:
        policy = FreeLogits(supernet.decisions, Softmax(), init_std=0.5, seed=1).double()
    update = Bilevel(
        supernet,
        policy,
        objective or Objective(Classification()),
        torch.optim.SGD(supernet.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY),
        Gradients(policy.parameters()),
        order=order,
        **arguments,
    )
    return update, batch(1), batch(2)


def batch(seed: int, inputs: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, inputs, generator=generator, dtype=torch.float64)
    return Batch(x, torch.randint(0, 4, (8,), generator=generator))


def copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(p, before[name]) for name, p in module.named_parameters())


def policy_gradient(update: Bilevel, train: Batch, held_out: Batch) -> list[Tensor]:
    """What the architecture step took off the logits: with rate 1, the gradient."""
    before = [p.detach().clone() for p in update.policy.parameters()]
    update.architecture_step(train, held_out)
    return [b - p.detach() for b, p in zip(before, update.policy.parameters(), strict=True)]


# who moves when


@pytest.mark.parametrize("order", [1, 2])
def test_an_architecture_step_moves_the_policy_alone(order: int) -> None:
    update, train, held_out = made(order)
    update.weights_step(train)
    weights, logits = copies(update.supernet), copies(update.policy)
    update.architecture_step(train, held_out)
    assert unchanged(update.supernet, weights)
    assert not any(torch.equal(p, logits[n]) for n, p in update.policy.named_parameters())
    assert all(p.grad is None for p in update.policy.parameters())


def test_a_weights_step_moves_every_weight_and_no_logit() -> None:
    update, train, _ = made()
    weights, logits = copies(update.supernet), copies(update.policy)
    update.weights_step(train)
    assert unchanged(update.policy, logits)
    assert not any(torch.equal(p, weights[n]) for n, p in update.supernet.named_parameters())
    assert all(p.grad is None for p in update.policy.parameters())


@pytest.mark.parametrize("order", [1, 2])
def test_a_step_is_the_architecture_first_then_the_weights(order: int) -> None:
    update, train, held_out = made(order)
    update.weights_step(train)
    other, swapped = copy.deepcopy(update), copy.deepcopy(update)
    metrics = update.step(train, held_out)
    architecture = other.architecture_step(train, held_out)
    weights = other.weights_step(train)
    assert copies(update.supernet).keys() == copies(other.supernet).keys()
    assert unchanged(update.supernet, copies(other.supernet))
    assert unchanged(update.policy, copies(other.policy))
    assert {n: float(v) for n, v in metrics.items()} == {
        n: float(v) for n, v in {**architecture, **weights}.items()
    }
    swapped.weights_step(train)
    swapped.architecture_step(train, held_out)
    assert not unchanged(update.policy, copies(swapped.policy))


def test_weights_and_architecture_are_disjoint_parameters() -> None:
    update, *_ = made()
    weights = {id(p) for group in update.weights_optimizer.param_groups for p in group["params"]}
    logits = {id(p) for g in update.architecture_optimizer.param_groups for p in g["params"]}
    assert weights == {id(p) for p in update.supernet.parameters()}
    assert logits == {id(p) for p in update.policy.parameters()}
    assert not weights & logits


# the gradients


def test_first_order_is_the_gradient_of_the_held_out_loss_at_the_current_weights() -> None:
    update, train, held_out = made()
    update.weights_step(train)
    loss = F.cross_entropy(update.supernet(held_out.inputs, update.policy().arch), held_out.targets)
    expected = torch.autograd.grad(loss, list(update.policy.parameters()))
    for ours, theirs in zip(policy_gradient(update, train, held_out), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def exact(update: Bilevel, train: Batch, held_out: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """Autograd through the next step of SGD as torch takes it: total and direct gradient."""
    arch = update.policy().arch
    logits = list(update.policy.parameters())
    names = [name for name, _ in update.supernet.named_parameters()]
    weights = list(update.supernet.parameters())

    def loss(values: Sequence[Tensor], at: Batch) -> Tensor:
        state = dict(zip(names, values, strict=True))
        output = torch.func.functional_call(update.supernet, state, (at.inputs, arch))
        return F.cross_entropy(output, at.targets)

    stepped = []
    gradients = torch.autograd.grad(
        loss(weights, train), weights, create_graph=True, allow_unused=True
    )
    for w, g in zip(weights, gradients, strict=True):
        if g is None:  # of an operation that was not sampled
            stepped.append(w)
            continue
        buffer = update.weights_optimizer.state.get(w, {}).get("momentum_buffer")
        moved = g + DECAY * w if buffer is None else g + DECAY * w + MOMENTUM * buffer
        stepped.append(w - RATE * moved)
    total = torch.autograd.grad(loss(stepped, held_out), logits, retain_graph=True)
    fixed = [w.detach() for w in stepped]
    direct = torch.autograd.grad(loss(fixed, held_out), logits, retain_graph=True)
    return list(total), list(direct)


def norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors]).norm())


def difference(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return norm([a - b for a, b in zip(left, right, strict=True)])


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("clip", [5.0, 0.05])
def test_darts_checks_2_and_3_on_a_supernet_with_torchs_momentum(steps: int, clip: float) -> None:
    update, train, held_out = made(2, clip=clip)
    for _ in range(steps):
        update.weights_step(train)
    total, direct = exact(update, train, held_out)
    correction = difference(total, direct)
    assert correction / norm(total) > 1e-3
    assert difference(policy_gradient(update, train, held_out), total) / correction < 1e-3


@pytest.mark.parametrize("steps", [0, 3])
def test_a_first_order_step_posing_as_second_scores_at_least_one(steps: int) -> None:
    update, train, held_out = made(1)
    for _ in range(steps):
        update.weights_step(train)
    total, direct = exact(update, train, held_out)
    error = difference(policy_gradient(update, train, held_out), total)
    assert error / difference(total, direct) > 0.9


@pytest.mark.parametrize("hard", [False, True])
def test_all_forwards_of_a_second_order_step_see_one_sample(hard: bool) -> None:
    """Another sample for each side would make the difference one of samples, over 2R."""
    supernet = mlp()
    policy = FreeLogits(supernet.decisions, Gumbel(hard=hard), init_std=0.5, seed=1).double()
    update, train, held_out = made(2, supernet=supernet, policy=policy)
    for _ in range(3):
        update.weights_step(train)
    noise = policy.get_extra_state()
    total, direct = exact(update, train, held_out)
    policy.set_extra_state(noise)
    error = difference(policy_gradient(update, train, held_out), total)
    assert error / difference(total, direct) < 1e-3


@pytest.mark.parametrize("order", [1, 2])
def test_the_penalties_of_the_budget_reach_the_architecture_alone(order: int) -> None:
    class Size:
        name, unit = "size", "parameters"

        def __call__(self, arch: Arch) -> Tensor:
            first = arch["first"]
            assert not callable(first)
            return 10 * first.row[0]

    budget = Objective(Classification(), [Penalty(Size(), 1.0, 0.5)])
    update, train, held_out = made(order, objective=budget)
    free, *_ = made(order, supernet=copy.deepcopy(update.supernet))
    free.policy.load_state_dict(update.policy.state_dict())
    penalty = 0.5 * (10 * update.policy().arch["first"].row[0] - 1)  # type: ignore[union-attr]
    expected = torch.autograd.grad(penalty, list(update.policy.parameters()))
    assert norm(expected) > 0.01
    pairs = zip(
        policy_gradient(update, train, held_out),
        policy_gradient(free, train, held_out),
        expected,
        strict=True,
    )
    for budgeted, plain, added in pairs:
        torch.testing.assert_close(budgeted - plain, added, rtol=0, atol=1e-12)
    free.policy.load_state_dict(update.policy.state_dict())
    update.weights_step(train)
    free.weights_step(train)
    assert unchanged(update.supernet, copies(free.supernet))


# batch normalization


def counted(update: Bilevel) -> int:
    (value,) = {int(b) for n, b in update.supernet.named_buffers() if "num_batches" in n}
    return value


@pytest.mark.parametrize(
    ("order", "bn_lookahead", "architecture", "both"),
    [
        (1, "official", 1, 2),
        (1, "none", 1, 2),
        # the training forward and the two perturbed ones; not the one at the stepped weights
        (2, "official", 3, 4),
        (2, "none", 0, 1),
    ],
)
def test_forwards_that_update_running_statistics(
    order: int, bn_lookahead: str, architecture: int, both: int
) -> None:
    update, train, held_out = made(order, supernet=mlp(norm=True), bn_lookahead=bn_lookahead)
    update.architecture_step(train, held_out)
    assert counted(update) == architecture
    update, train, held_out = made(order, supernet=mlp(norm=True), bn_lookahead=bn_lookahead)
    update.step(train, held_out)
    assert counted(update) == both
    update.step(train, held_out)
    assert counted(update) == 2 * both


def test_the_look_ahead_forward_leaves_no_trace_of_the_held_out_batch() -> None:
    update, train, held_out = made(2, supernet=mlp(norm=True))
    other = copy.deepcopy(update)
    update.architecture_step(train, held_out)
    other.architecture_step(train, Batch(held_out.inputs + 100, held_out.targets))
    first, second = (dict(u.supernet.named_buffers()) for u in (update, other))
    for name, value in first.items():
        if "running_mean" in name:  # before the mixed layers: perturbed only by about 0.01
            torch.testing.assert_close(value, second[name], rtol=0, atol=0.05)


def test_running_statistics_do_not_change_the_gradient() -> None:
    found = []
    for bn_lookahead in ("official", "none"):
        torch.manual_seed(0)
        update, train, held_out = made(2, supernet=mlp(norm=True), bn_lookahead=bn_lookahead)
        found.append(policy_gradient(update, train, held_out))
    assert difference(*found) == 0


# phases: PC-DARTS check 4


def pc_darts() -> Made:
    space = DartsSpace(DataSpec((1, 6, 6), "classes", 3), channels=8, cells=3, nodes=2)
    net = space.supernet()
    apply_partial_channels(net, 4)
    supernet = Supernet(net)
    policy = FreeLogits(supernet.decisions, Softmax())
    update = Bilevel(
        supernet,
        policy,
        Objective(Classification()),
        torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4),
        torch.optim.Adam(policy.parameters(), lr=6e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        warmup=0.3,
    )
    x = torch.randn(2, 6, 1, 6, 6)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    return update, Batch(x[0], y), Batch(x[1], y)


def test_pc_darts_check_4_alphas_and_betas_are_frozen_for_15_of_50_epochs() -> None:
    update, train, held_out = pc_darts()
    warmup, search = update.phases(50)
    assert (warmup.name, warmup.epochs, warmup.streams) == ("warmup", 15, ("weights",))
    assert (search.name, search.epochs) == ("search", 35)
    assert search.streams == ("weights", "architecture")
    before, weights = copies(update.policy), copies(update.supernet)
    for _ in range(3):
        warmup.step(train)
    assert unchanged(update.policy, before)  # bit for bit
    assert not update.architecture_optimizer.state
    assert not unchanged(update.supernet, weights)
    search.step(train, held_out)
    logits = dict(update.policy.named_parameters())
    assert any("pick" in name for name in logits)  # the betas
    assert not any(torch.equal(p, before[name]) for name, p in logits.items())
    assert len(update.architecture_optimizer.state) == len(logits)


@pytest.mark.parametrize(
    ("warmup", "epochs", "expected"),
    [
        (0.0, 50, [("search", 50)]),
        (0.3, 50, [("warmup", 15), ("search", 35)]),
        (0.7, 50, [("warmup", 35), ("search", 15)]),
        (0.3, 1, [("search", 1)]),
        (0.99, 1, [("warmup", 1)]),
        (0.5, 0, []),
    ],
)
def test_phases_add_up_to_the_epochs(
    warmup: float, epochs: int, expected: list[tuple[str, int]]
) -> None:
    update, *_ = made(warmup=warmup)
    phases = update.phases(epochs)
    assert [(phase.name, phase.epochs) for phase in phases] == expected
    assert all(isinstance(phase, Phase) for phase in phases)
    assert isinstance(update, Update)


# clipping, contexts, metrics


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_the_weights_gradient_is_clipped_by_its_norm_over_all_weights(clip: float) -> None:
    update, train, _ = made(clip=clip)
    logits = update.policy().detach().arch
    loss = F.cross_entropy(update.supernet(train.inputs, logits), train.targets)
    gradients = torch.autograd.grad(loss, list(update.supernet.parameters()))
    scale = min(1.0, clip / (norm(gradients) + 1e-6))
    before = copies(update.supernet)
    update.weights_step(train)
    for (name, p), g in zip(update.supernet.named_parameters(), gradients, strict=True):
        expected = before[name] - RATE * (scale * g + DECAY * before[name])
        torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_the_architectures_gradient_is_clipped_if_so_set(order: int) -> None:
    update, train, held_out = made(order, architecture_clip=1e-3)
    assert norm(policy_gradient(update, train, held_out)) == pytest.approx(1e-3, rel=1e-2)
    update, train, held_out = made(order)
    assert norm(policy_gradient(update, train, held_out)) > 5e-3


def test_gradients_of_the_weights_are_clipped() -> None:
    supernet = mlp()
    update, train, held_out = made(supernet=supernet, clip=1e-3)
    update.step(train, held_out)
    after = norm([p.grad for p in supernet.parameters() if p.grad is not None])
    assert after == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize(("order", "forwards"), [(1, 2), (2, 5)])
def test_every_forward_runs_in_the_context_given(order: int, forwards: int) -> None:
    inside: list[bool] = []
    entered = [0]

    @contextmanager
    def context() -> Iterator[None]:
        entered[0] += 1
        inside.append(True)
        yield
        inside.pop()

    update, train, held_out = made(order, autocast=context)
    update.supernet.net.register_forward_pre_hook(lambda *_: seen.append(bool(inside)))
    seen: list[bool] = []
    update.step(train, held_out)
    assert seen == [True] * forwards
    assert entered == [forwards]


@pytest.mark.parametrize("order", [1, 2])
def test_metrics_say_whose_they_are(order: int) -> None:
    update, train, held_out = made(order)
    metrics = update.step(train, held_out)
    assert set(metrics) == {
        f"{name}/{part}" for name in ("loss", "accuracy") for part in ("weights", "architecture")
    }
    assert not any(value.requires_grad for value in metrics.values())


def test_a_sampling_policy_draws_anew_for_each_step() -> None:
    supernet = mlp()
    policy = FreeLogits(supernet.decisions, Gumbel(hard=True), init_std=0.0).double()
    draws: list[tuple[int, ...]] = []
    plain = policy.forward

    def recorded() -> Sample:
        sample = plain()
        draws.append(tuple(w.index for w in sample.arch.values()))  # type: ignore[union-attr]
        return sample

    policy.forward = recorded  # type: ignore[method-assign]
    update = Bilevel(
        supernet,
        policy,
        Objective(Classification()),
        torch.optim.SGD(supernet.parameters(), lr=RATE),
        Gradients(policy.parameters()),
    )
    for _ in range(10):
        update.step(batch(1), batch(2))
    assert len(draws) == 20
    assert len(set(draws)) > 3


# state


def test_a_restored_update_goes_on_bit_for_bit(tmp_path: Any) -> None:
    update, train, held_out = made(2)
    for _ in range(2):
        update.step(train, held_out)
    torch.save(update.state_dict(), tmp_path / "state")
    for _ in range(3):
        update.step(train, held_out)
    torch.manual_seed(99)
    other, *_ = made(2)
    assert not unchanged(other.supernet, copies(update.supernet))
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for _ in range(3):
        other.step(train, held_out)
    assert unchanged(other.supernet, copies(update.supernet))
    assert unchanged(other.policy, copies(update.policy))


# masks


def test_masked_logits_get_neither_gradient_nor_decay_and_moments_start_anew() -> None:
    supernet = mlp()
    policy = FreeLogits(supernet.decisions, Softmax(), init_std=0.5)
    (logits,) = policy.parameters()
    adam = torch.optim.Adam([logits], lr=0.1, weight_decay=0.5)
    architecture_step(policy, adam, [torch.ones_like(logits)])
    assert adam.state[logits]["step"] == 1
    policy.set_mask("first", [True, False, True])
    before = logits.detach().clone()
    architecture_step(policy, adam, [torch.ones_like(logits)])
    assert adam.state[logits]["step"] == 1  # dropped, then taken up again
    changed = logits.detach() != before
    assert changed.tolist() == [[True, False, True], [True, True, True]]
    architecture_step(policy, adam, [torch.ones_like(logits)])
    assert adam.state[logits]["step"] == 2
    assert logits.grad is None


def test_before_the_search_the_whole_network_can_be_trained_without_gates() -> None:
    """A step is the one of the network alone, and leaves the policy as it is."""
    data = DataSpec((1, 8, 8), "classes", 4)
    narrowed = Compression(None, None, widths=(0.5, 1.0))
    supernet = Supernet(
        Compressed(BackboneSpace(data, "resnet20", {"channels": 2}), narrowed).supernet()
    )
    policy = FreeLogits(supernet.decisions, Gumbel(), seed=1)
    update, *_ = made(supernet=supernet, policy=policy, pretrain=0.5, warmup=0.2, clip=1e9)
    phases = update.phases(10)
    assert [(p.name, p.epochs) for p in phases] == [("pretrain", 5), ("warmup", 2), ("search", 3)]
    assert phases[0].streams == ("weights",)
    alone, before = copy.deepcopy(supernet), copies(policy)
    batch = Batch(torch.randn(8, 1, 8, 8), torch.randint(4, (8,)))
    phases[0].step(batch)
    optimizer = torch.optim.SGD(alone.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    torch.autograd.backward(Classification().loss(alone(batch.inputs, {}), batch.targets))
    optimizer.step()
    for mine, theirs in zip(supernet.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert unchanged(policy, before)


def test_parameters_without_gradient_stay() -> None:
    supernet = mlp()
    policy = FreeLogits(supernet.decisions, Softmax(), init_std=0.5)
    before = copies(policy)
    adam = torch.optim.Adam(policy.parameters(), lr=0.1, weight_decay=0.5)
    architecture_step(policy, adam, [None])
    assert unchanged(policy, before)


# mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 3}, "strategy.update.order must be 1 or 2, got 3"),
        ({"warmup": 1.0}, "warmup is a share from 0 to below 1, got 1.0"),
        ({"warmup": -0.1}, "warmup is a share from 0 to below 1"),
        ({"pretrain": 1.0}, "pretrain is a share from 0 to below 1, got 1.0"),
        ({"pretrain": 0.5, "warmup": 0.5}, "pretrain=0.5 and warmup=0.5 leave the policy no epoch"),
        ({"pretrain": 0.5}, "no decision here is one of compression"),
        ({"bn_lookahead": "some"}, "must be 'official' or 'none', got 'some'"),
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**arguments)


OPTIMIZERS: list[Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = [
    lambda p: torch.optim.Adam(p),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_second_order_unrolls_plain_sgd_only(
    make: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer],
) -> None:
    supernet = mlp()
    policy = FreeLogits(supernet.decisions, Softmax())
    parts = (supernet, policy, Objective(Classification()), make(supernet.parameters()))
    with pytest.raises(ConfigError, match=r"order=2 unrolls a step of SGD .* use optim.weights"):
        Bilevel(*parts, Gradients(policy.parameters()), order=2)
    Bilevel(*parts, Gradients(policy.parameters()), order=1)
