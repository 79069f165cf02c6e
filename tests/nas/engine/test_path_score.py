"""What a path is worth: with statistics of its own, and the supernet as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.arch import from_genotype
from nas.batch import Batch
from nas.decision import Candidate, Decision
from nas.engine.path_score import PathScore, path_of
from nas.searchable import MixedOp
from nas.supernet import Supernet
from nas.tasks import Classification


def operation(candidate: Candidate) -> nn.Module:
    norm = nn.BatchNorm1d(6, affine=False, track_running_stats=candidate != "bare")
    return nn.Sequential(nn.Linear(6, 6), norm, nn.Tanh())


def supernet() -> Supernet:
    torch.manual_seed(0)
    mixed = MixedOp(Decision("op", ("one", "two", "bare")), operation)
    net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(), mixed, nn.Linear(6, 4))
    return Supernet(net)


def batches(count: int, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            3 * torch.randn(8, 5, generator=generator) + 1,
            torch.randint(4, (8,), generator=generator),
        )
        for _ in range(count)
    ]


def state(net: Supernet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("calibration", [0, 3])
@pytest.mark.parametrize("choice", ["one", "two", "bare"])
def test_scoring_leaves_no_trace_and_gives_the_same_again(choice: str, calibration: int) -> None:
    net = supernet()
    before, rng = state(net), torch.get_rng_state()
    score = PathScore(net, Classification(), batches(2, 1), batches(calibration, 2))
    first = score({"op": choice})
    other = score({"op": "two" if choice == "one" else "one"})
    assert score({"op": choice}) == first != other
    assert first["count"] == 16
    assert net.training
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, before[name]) for name, value in state(net).items())


def test_statistics_are_the_plain_means_over_the_training_batches() -> None:
    net, given = supernet(), batches(3, 2)
    path = path_of(net, {"op": "one"}, given)
    norm = path[1]  # type: ignore[index]
    features = [net.net[0](batch.inputs) for batch in given]  # type: ignore[index, operator]
    means = torch.stack([each.mean(0) for each in features]).mean(0)
    variances = torch.stack([each.var(0) for each in features]).mean(0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert not any(module.training for module in path.modules())


def test_without_training_batches_each_batch_is_normalized_by_itself() -> None:
    net, (batch,) = supernet(), batches(1, 3)
    net.net[2].p = 0.0  # type: ignore[index, union-attr]
    found = PathScore(net, Classification(), [batch])({"op": "two"})
    arch = from_genotype(net.decisions, {"op": "two"})
    output = net.train()(batch.inputs, arch).detach()
    assert found["loss"] == pytest.approx(
        float(nn.functional.cross_entropy(output, batch.targets)), rel=1e-5
    )
