from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.data import ArrayData
from nas.data.base import normalize, scaled
from nas.dataspec import DataSpec
from nas.engine.evaluate import evaluate
from nas.engine.rng import capture_rng
from nas.errors import NasError
from nas.tasks import Classification

CPU = torch.device("cpu")
SPEC = DataSpec((1, 3, 3), "classes", 4, mean=(0.4,), std=(0.3,))


def data(validation: int = 11) -> ArrayData:
    generator = torch.Generator().manual_seed(3)
    return ArrayData(
        spec=SPEC,
        inputs=torch.randint(256, (20, 1, 3, 3), dtype=torch.uint8, generator=generator),
        targets=torch.randint(4, (20,), generator=generator),
        splits={"weights": torch.arange(5), "validation": torch.arange(5, 5 + validation)},
        fingerprint="0",
        name="toy",
    )


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(9, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4)
    )


@pytest.mark.parametrize("batch_size", [1, 4, 5, 11, 256])
def test_means_are_over_samples_however_they_are_batched(batch_size: int) -> None:
    net, samples = network(), data()
    found = evaluate(
        net, samples, "validation", Classification(), device=CPU, batch_size=batch_size
    )
    rows = samples.indices("validation")
    logits = net.eval()(normalize(scaled(samples.inputs[rows]), SPEC)).detach()
    targets = samples.targets[rows]
    loss = nn.functional.cross_entropy(logits, targets, reduction="none").sum() / len(rows)
    right = sum(int(row.argmax() == target) for row, target in zip(logits, targets, strict=True))
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert found["accuracy"] == pytest.approx(right / 11)
    assert found["count"] == 11
    assert set(found) == {"loss", "accuracy", "count"}


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_in_eval_mode_meanwhile_and_left_as_it_was(training: bool) -> None:
    net = network().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes: list[bool] = []
    net.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    evaluate(net, data(), "validation", Classification(), device=CPU)
    assert modes == [False]
    assert all(module.training == training for module in net.modules())
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_mode_comes_back_after_an_error_too() -> None:
    net = network()

    def broken(inputs: Tensor) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(net, data(), "validation", Classification(), device=CPU, call=broken)
    assert net.training


def test_no_random_numbers_are_drawn() -> None:
    """An evaluation between two steps would otherwise change a run that is not resumed there."""
    net = network()
    before = capture_rng()
    evaluate(net, data(), "weights", Classification(), device=CPU)
    after = capture_rng()
    assert torch.equal(before["torch"], after["torch"])
    assert before["python"] == after["python"]
    assert torch.equal(before["numpy"]["key"], after["numpy"]["key"])
    assert before["numpy"]["pos"] == after["numpy"]["pos"]


def test_another_call_gives_the_outputs() -> None:
    net = network()
    constant = torch.tensor([0.0, 9.0, 0.0, 0.0])
    found = evaluate(
        net,
        data(),
        "validation",
        Classification(),
        device=CPU,
        call=lambda inputs: constant.expand(len(inputs), 4),
    )
    share = float((data().targets[5:16] == 1).float().mean())
    assert found["accuracy"] == pytest.approx(share)


def test_an_empty_or_absent_split_is_named() -> None:
    with pytest.raises(NasError, match="has no split 'test' here"):
        evaluate(network(), data(), "test", Classification(), device=CPU)
    with pytest.raises(NasError, match="empty"):
        evaluate(network(), data(0), "validation", Classification(), device=CPU)
