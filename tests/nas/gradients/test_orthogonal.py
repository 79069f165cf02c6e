"""Steps of the weights that leave alone what earlier architectures read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.arch import from_genotype
from nas.batch import Batch
from nas.decision import Candidate, Decision
from nas.errors import ConfigError
from nas.gradients import Orthogonal, Transformed
from nas.gradients.banks import Basis, Dense
from nas.objectives import Objective
from nas.policies import Sample, Uniform
from nas.policies.base import plain_sample
from nas.searchable import MixedOp
from nas.strategies import SinglePath
from nas.supernet import Supernet
from nas.tasks import Classification

FEATURES, CLASSES = 6, 4


class Chosen(Uniform):
    """Hands out the path that the test sets."""

    def __init__(self, decisions: Any) -> None:
        super().__init__(decisions)
        self.path: dict[str, Candidate] = dict.fromkeys(decisions, "left")

    def forward(self) -> Sample:
        return plain_sample(from_genotype(self.decisions, self.path, self._device))


def made(
    hidden: int, out: int, projecting: bool = True, rate: float = 0.05, **settings: Any
) -> tuple[Any, Chosen, Orthogonal, SinglePath]:
    """A trunk, one of two branches, and shared layers behind them; a step function for it."""
    torch.manual_seed(0)

    def branch(candidate: Candidate) -> nn.Module:
        return nn.Sequential(nn.Linear(FEATURES, hidden), nn.Tanh())

    choice = MixedOp(Decision("branch", ("left", "right")), branch)
    shared = nn.Linear(hidden, out, bias=False)
    head = nn.Linear(out, CLASSES, bias=False)
    trunk = nn.Linear(FEATURES, FEATURES)
    supernet = Supernet(nn.Sequential(trunk, choice, shared, nn.Tanh(), head)).double()
    policy = Chosen(dict(supernet.decisions)).double()
    optimizer = torch.optim.SGD(supernet.parameters(), rate, momentum=0.9, weight_decay=1e-2)
    update = SinglePath(supernet, policy, Objective(Classification()), optimizer, clip=1e9)
    transform = Orthogonal(supernet, optimizer, 10, **settings)
    whole = Transformed(update, {"dinas": transform} if projecting else {})
    return whole.phases(1)[0].step, policy, transform, update


def batch(seed: int = 1, classes: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(32, FEATURES, dtype=torch.float64, generator=generator)
    # A part of the inputs tells the class, another one for each number.
    signs = (inputs[:, 2 * classes : 2 * classes + 2] > 0).long()
    return Batch(inputs, 2 * signs[:, 0] + signs[:, 1])


def weights(update: SinglePath) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in update.supernet.net.named_parameters()}


def loss_of(update: SinglePath, path: str, given: Batch) -> float:
    with torch.no_grad():
        arch = from_genotype(update.supernet.decisions, {"branch": path})
        return float(Classification().loss(update.supernet(given.inputs, arch), given.targets))


def disturbed(hidden: int, out: int, projecting: bool) -> tuple[float, float]:
    """What training the right branch adds to the loss of the left one; what it gains itself."""
    step, policy, _, update = made(
        hidden, out, projecting, alpha=1e-3, leak=0.0, rank=16, rate=0.02
    )
    update.supernet.net[0].requires_grad_(False)  # the trunk is nobody's own
    first, second = batch(classes=0), batch(seed=2, classes=1)
    for _ in range(60):
        step(first)
    policy.path = {"branch": "right"}
    before, start = loss_of(update, "left", first), loss_of(update, "right", second)
    for _ in range(200):
        step(second)
    rise = loss_of(update, "left", first) - before
    return rise, start - loss_of(update, "right", second)


@pytest.mark.parametrize(("hidden", "out"), [(48, 32), (40, 40)])
def test_training_another_architecture_disturbs_the_first_one_half_as_much_at_most(
    hidden: int, out: int
) -> None:
    plain, learnt = disturbed(hidden, out, False)
    projected, still = disturbed(hidden, out, True)
    assert plain > 0.1
    assert projected <= 0.5 * plain
    assert still > 0.5 * learnt


def test_the_whole_change_is_projected_with_momentum_and_weight_decay() -> None:
    step, policy, transform, update = made(8, 5, alpha=0.5, leak=0.1, rank=3)
    (bank,) = [bank for size, bank in transform.banks.items() if size == 8]
    assert isinstance(bank, Dense)
    for turn in range(6):
        policy.path = {"branch": ("left", "right")[turn % 2]}
        other = copy.deepcopy(update)
        before, projector = weights(update), bank.projectors[0].clone()
        other.weights_step(batch(turn))
        found = step(batch(turn))
        free, moved = weights(other), weights(update)
        change = free["2.weight"] - before["2.weight"]
        expected = before["2.weight"] + change @ (projector if turn else torch.eye(8).double())
        torch.testing.assert_close(moved["2.weight"], expected, rtol=1e-12, atol=1e-14)
        assert torch.equal(moved["0.weight"], free["0.weight"])  # nothing is chosen before it
        assert torch.equal(moved["0.bias"], free["0.bias"])
        assert ("dinas/kept" in found) == (turn > 0)
        if turn:
            assert not torch.equal(moved["2.weight"], free["2.weight"])
            assert 0 < float(found["dinas/kept"]) < 1


def test_a_projector_learns_what_its_layer_read() -> None:
    step, policy, transform, update = made(8, 5, alpha=0.5, leak=0.1, rank=64)
    bank = transform.banks[8]
    assert isinstance(bank, Dense)
    expected = torch.eye(8).double()
    for turn in range(3):
        policy.path = {"branch": ("left", "right")[turn % 2]}
        with torch.no_grad():
            net = update.supernet.net
            read = list(net[1].ops.values())[turn % 2](net[0](batch(turn).inputs))
        generator = copy.deepcopy(transform.observer.generator)
        step(batch(turn))
        numbers = torch.rand(64, 3, generator=generator)[:, 0]
        columns = read[(numbers * 32).long()].T
        inverse = torch.linalg.inv(0.9 * expected + 0.1 * torch.eye(8).double())
        expected = torch.linalg.inv(inverse + columns @ columns.T / 0.5)
        torch.testing.assert_close(bank.projectors[0], expected, rtol=0, atol=1e-10)


def test_what_no_path_uses_keeps_its_weights_and_its_projector() -> None:
    step, policy, transform, update = made(8, 5)
    bank = transform.banks[FEATURES]
    assert isinstance(bank, Dense)
    rows = {place.layer.name: place.rows for place in transform._places}
    for turn in range(2):
        policy.path = {"branch": "left"}
        before, projectors = weights(update), bank.projectors.clone()
        step(batch(turn))
        assert torch.equal(before["1.ops.right.0.weight"], weights(update)["1.ops.right.0.weight"])
        still = rows["net.1.ops.right.0"]
        assert torch.equal(projectors[still], bank.projectors[still])
        assert not torch.equal(projectors[rows["net.1.ops.left.0"]], bank.projectors[:1])


def test_a_layer_is_projected_once_other_choices_stood_before_it() -> None:
    step, policy, _, _ = made(8, 5)
    kept = []
    for path in ("left", "left", "right", "right", "left"):
        policy.path = {"branch": path}
        kept.append("dinas/kept" in step(batch()))
    assert kept == [False, False, True, True, True]


def test_wide_layers_have_a_basis_and_narrow_ones_a_projector() -> None:
    step, policy, transform, _ = made(12, 5, dense=8, basis=4, alpha=0.1)
    kinds = {size: type(bank) for size, bank in transform.banks.items()}
    assert kinds == {5: Dense, 6: Dense, 12: Basis}
    # Trunk and branches read 6 inputs, the head 5; the basis has 4 columns of 12 and 4 shares.
    assert transform.memory == 8 * (3 * 36 + 25 + 13 * 4)
    assert "projectors of 5 layers take 0.0 MiB" in transform.describe()
    for turn in range(4):
        policy.path = {"branch": ("left", "right")[turn % 2]}
        found = step(batch(turn))
    assert float(found["dinas/kept"]) < 1
    assert 0 < float(found["dinas/free"]) < 1


def test_alpha_goes_from_its_start_to_its_end_by_equal_factors() -> None:
    _, _, transform, _ = made(8, 5, alpha=1.0, alpha_end=1e-3)
    found = []
    for epoch in (0, 3, 9):
        transform.on_epoch(epoch)
        found.append(transform.alpha)
    assert found == pytest.approx([1.0, 0.1, 1e-3])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rank": 0}, r"dinas\.rank must be a whole number of at least 1, got 0"),
        ({"basis": 2.5}, r"dinas\.basis must be a whole number of at least 1, got 2\.5"),
        ({"alpha": 0.0}, r"dinas\.alpha must be a number above 0, got 0\.0"),
        ({"alpha_end": -1.0}, r"dinas\.alpha_end must be a number above 0"),
        ({"leak": 1.0}, r"dinas\.leak is a share from 0 to below 1, got 1\.0"),
        ({"energy": 0.0}, r"dinas\.energy is a share above 0 and up to 1, got 0\.0"),
        ({"memory_mib": 1e-4}, r"would take 0\.0 MiB, more than memory_mib=0\.0001; raise it"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        made(8, 5, **settings)
