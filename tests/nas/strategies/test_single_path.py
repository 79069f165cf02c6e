"""Weights that learn along single paths: which ones, by which gradient, and what stands still."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.batch import Batch
from nas.compression.gates import ChannelGates, Ladder, Segment
from nas.decision import Candidate, Decision
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import FreeLogits, Uniform
from nas.relaxations import Softmax
from nas.searchable import MixedOp
from nas.strategies import SinglePath
from nas.supernet import Supernet
from nas.tasks import Classification

RATE = 0.1
ACTIVATIONS: dict[Candidate, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}


def edge(name: str) -> MixedOp:
    def make(candidate: Candidate) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 6), ACTIVATIONS[candidate]())

    return MixedOp(Decision(name, tuple(ACTIVATIONS)), make)


class Recorded(Uniform):
    """Keeps every path that it hands out."""

    def __init__(self, decisions: dict[str, Decision], seed: int) -> None:
        super().__init__(decisions, seed)
        self.seen: list[Any] = []

    def forward(self) -> Any:
        self.seen.append(super().forward())
        return self.seen[-1]

    def fair(self) -> list[Any]:
        found = super().fair()
        self.seen += found
        return found


def made(seed: int = 0, **arguments: Any) -> tuple[SinglePath, Recorded]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), edge("first"), edge("second"), nn.Linear(6, 4))
    supernet = Supernet(net).double()
    policy = Recorded(dict(supernet.decisions), seed)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-2)
    objective = Objective(Classification())
    return SinglePath(supernet, policy.double(), objective, optimizer, **arguments), policy


def batch(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(16, 5, dtype=torch.float64, generator=generator)
    return Batch(inputs, torch.randint(4, (16,), generator=generator))


def weights(update: SinglePath) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in update.supernet.net.named_parameters()}


def used(path: Any) -> set[str]:
    """Which candidates' modules a path goes through, as the beginning of their names."""
    places = {"first": 1, "second": 2}
    found = set()
    for name, given in path.arch.items():
        assert isinstance(given, Weights)
        found.add(f"{places[name]}.ops.{tuple(ACTIVATIONS)[given.index]}.")
    return found


def test_a_step_moves_the_sampled_path_and_nothing_else() -> None:
    update, policy = made()
    for _ in range(4):  # later steps have momentum, which must not move the others either
        before = weights(update)
        update.weights_step(batch())
        path = used(policy.seen[-1])
        for name, value in weights(update).items():
            outside = ".ops." in name and not any(name.startswith(start) for start in path)
            assert torch.equal(value, before[name]) == outside, name


def test_a_fair_step_is_the_sum_of_the_gradients_of_paths_that_take_each_candidate_once() -> None:
    update, policy = made(fair=True, clip=1e9)
    before = weights(update)
    found = update.weights_step(batch())
    assert len(policy.seen) == 3
    for name in ("first", "second"):
        assert sorted(path.arch[name].index for path in policy.seen) == [0, 1, 2]
    moved = {name: p.grad for name, p in update.supernet.net.named_parameters()}
    other, _ = made()
    total: dict[str, Tensor] = {name: torch.zeros_like(value) for name, value in before.items()}
    losses = []
    for path in policy.seen:
        output = other.supernet(batch().inputs, path.arch)
        loss = nn.functional.cross_entropy(output, batch().targets)
        losses.append(loss.detach())
        parameters = dict(other.supernet.net.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient
    for name, gradient in moved.items():
        assert gradient is not None
        torch.testing.assert_close(gradient, total[name], rtol=1e-12, atol=1e-14)
        expected = before[name] - RATE * (total[name] + 1e-2 * before[name])
        torch.testing.assert_close(weights(update)[name], expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found["loss/weights"], torch.stack(losses).mean())


def test_the_gradient_is_clipped_once_per_step() -> None:
    update, _ = made(fair=True, clip=1e-3)
    update.weights_step(batch())
    norms = [p.grad.norm() for p in update.supernet.parameters() if p.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_one_phase_reads_the_training_half_alone() -> None:
    update, _ = made()
    (phase,) = update.phases(7)
    assert (phase.epochs, phase.streams) == (7, ("weights",))


def test_parts_that_do_not_go_together_are_refused() -> None:
    update, _ = made()
    logits = FreeLogits(update.supernet.decisions, Softmax())
    parts = (update.supernet, logits, update.objective, update.weights_optimizer)
    with pytest.raises(ConfigError, match=r"fair=true deals out paths of .*Uniform, got FreeLog"):
        SinglePath(*parts, fair=True)
    adam = torch.optim.Adam(logits.parameters())
    with pytest.raises(ConfigError, match="moves no architecture parameters and FreeLogits"):
        SinglePath(*parts, architecture_optimizer=adam)


def narrow(**arguments: Any) -> SinglePath:
    """Sixteen numbers of which two gates keep the first ones, in nested decisions."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for name, inputs in (("a", 5), ("b", 16)):
        layer = nn.Linear(inputs, 16)
        ladder = Ladder(Decision(f"{name}/width", (0.25, 1.0), "nested"), 16)
        layers += [layer, ChannelGates(16, [Segment(ladder, 0)], [layer])]
    supernet = Supernet(nn.Sequential(*layers, nn.Linear(16, 4))).double()
    policy = Uniform(dict(supernet.decisions), 0).double()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=RATE)
    return SinglePath(supernet, policy, Objective(Classification()), optimizer, **arguments)


def test_nested_decisions_are_in_full_before_they_are_drawn() -> None:
    update = narrow(pretrain=0.25, clip=1e9)
    names = [(phase.name, phase.epochs, phase.streams) for phase in update.phases(8)]
    assert names == [("pretrain", 2, ("weights",)), ("search", 6, ("weights",))]
    assert [phase.name for phase in narrow(pretrain=1.0).phases(8)] == ["pretrain"]
    plain = nn.Sequential(*(m for m in update.supernet.net if isinstance(m, nn.Linear)))
    loss = nn.functional.cross_entropy(plain(batch().inputs), batch().targets)
    wanted = torch.autograd.grad(loss, list(plain.parameters()))
    for _ in range(3):  # whatever is drawn
        other = narrow(pretrain=0.25, clip=1e9)
        found = other.pretrain_step(batch())
        assert float(found["loss/weights"]) == pytest.approx(float(loss.detach()), rel=1e-12)
        for parameter, gradient in zip(other.supernet.net.parameters(), wanted, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-14)


def test_a_training_in_full_needs_decisions_that_can_be_left_out() -> None:
    with pytest.raises(ConfigError, match="no decision here is one of compression"):
        made(pretrain=0.5)
    with pytest.raises(ConfigError, match=r"pretrain is a share from 0 to 1, got 1.5"):
        narrow(pretrain=1.5)
