from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from nas.data import ArrayData, Batches, Synthetic
from nas.data.problems import PERIODS, PROBLEMS, STRIPES
from nas.data.synthetic import CLASSES, LEAST
from nas.engine.evaluate import evaluate
from nas.engine.train import Supervised
from nas.errors import NasError
from nas.schedules import CosineLearningRate
from nas.tasks import Classification, MultiLabel, Regression, Segmentation, Task
from search_spaces.darts import DartsSpace

SIZES = {"waves": 64, "labels": 64, "regions": 24, "fields": 24}


def data(problem: Any, **settings: Any) -> ArrayData:
    few = {"samples": 60, "test": 12, "validation": 8, "size": SIZES[problem]}
    return Synthetic(problem, **{**few, **settings}).load()


def clean(problem: Any, **settings: Any) -> tuple[Tensor, Tensor]:
    """Inputs without noise, in float64 and without their channel, and targets."""
    found = data(problem, noise=0, **settings)
    return found.inputs[:, 0].double(), found.targets


@pytest.mark.parametrize(
    ("problem", "kind", "shape", "target"),
    [
        ("waves", "classes", (1, 64), ()),
        ("labels", "multi-label", (1, 64), (5,)),
        ("regions", "dense", (1, 24, 24), (24, 24)),
        ("fields", "image", (1, 24, 24), (1, 24, 24)),
    ],
)
def test_each_problem_is_of_another_kind(
    problem: str, kind: str, shape: tuple[int, ...], target: tuple[int, ...]
) -> None:
    found = data(problem)
    assert (found.spec.kind, found.spec.input_shape) == (kind, shape)
    assert found.inputs.shape == (60, *shape)
    assert found.inputs.dtype == torch.float32
    assert found.targets.shape == (60, *target)
    assert found.counts() == {"weights": 20, "architecture": 20, "validation": 8, "test": 12}
    assert found.name == f"synthetic_{problem}"


def test_waves_have_the_shape_of_their_class() -> None:
    inputs, classes = clean("waves", samples=400, size=128)
    left, middle, right = inputs[:, :-2], inputs[:, 1:-1], inputs[:, 2:]
    for row in range(400):
        steps = (right[row] - middle[row]).abs()
        match int(classes[row]):
            case 0:  # x[t - 1] + x[t + 1] = 2 cos(w) x[t]
                far = middle[row].abs() > 0.1
                ratio = (left[row] + right[row])[far] / middle[row][far]
                assert ratio.std() < 1e-3
                assert ratio.mean() < 2
            case 1:
                assert inputs[row].abs().std() < 1e-5
            case 2:  # steps of one size but at its two corners in each period
                assert ((steps - steps.max()).abs() < 1e-4).double().mean() > 0.8
            case 3:  # steps of one size but where it starts again
                assert ((steps - steps.median()).abs() < 1e-4).double().mean() > 0.9
                assert steps.max() > 10 * steps.median()
    assert torch.bincount(classes).min() > 70


def test_labels_are_the_periods_that_a_signal_has() -> None:
    inputs, target = clean("labels", samples=200)
    turns = 2 * math.pi * np.arange(64)[:, None] / np.array(PERIODS)
    waves = np.concatenate([np.sin(turns), np.cos(turns)], axis=1)
    found = np.linalg.lstsq(waves, inputs.numpy().T, rcond=None)[0]
    amplitude = np.hypot(found[: len(PERIODS)], found[len(PERIODS) :]).T
    assert np.array_equal(amplitude > 0.3, target.numpy() > 0.5)
    assert amplitude[target.numpy() > 0.5].min() == pytest.approx(0.6, abs=0.02)
    assert target.mean().item() == pytest.approx(0.5, abs=0.1)


def test_textures_are_constant_in_their_own_direction_and_repeat_in_others() -> None:
    inputs, target = clean("regions")
    row, column = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    for texture, place in enumerate((row, column, row + column)):
        for image, wanted in zip(inputs, target, strict=True):
            here = wanted == texture
            for phase in range(STRIPES):
                values = image[here & (place % STRIPES == phase)]
                assert not len(values) or values.max() - values.min() < 1e-5
    assert {len(t.unique()) for t in target} == {1, 2, 3}


def test_fields_are_the_slope_of_the_landscape() -> None:
    inputs, target = clean("fields", size=96)
    down, across = np.gradient(inputs.numpy(), 1 / 96, axis=(1, 2), edge_order=2)
    steepest = math.exp(-0.5) / (1 / 7)  # of a hill of height 1 at one standard deviation
    expected = np.tanh(np.hypot(down, across) / steepest)
    assert np.abs(target[:, 0].numpy() - expected).max() < 0.01
    assert target.min() >= 0
    assert target.max() <= 1


@pytest.mark.parametrize("problem", SIZES)
def test_noise_has_the_standard_deviation_that_is_set(problem: str) -> None:
    one, other = (data(problem, noise=noise, samples=100).inputs for noise in (0.0, 0.25))
    assert (other - one).std().item() == pytest.approx(0.25, rel=0.05)


def test_no_linear_model_learns_waves_or_fields() -> None:
    found = data("waves", samples=1200, test=200)
    x, y = found.inputs.flatten(1).numpy(), found.targets.numpy()
    held = found.indices("test").numpy()
    rest = np.setdiff1d(np.arange(1200), held)
    assert LogisticRegression(max_iter=200).fit(x[rest], y[rest]).score(x[held], y[held]) < 0.45
    found = data("fields", samples=600, test=100)
    x, y = found.inputs.flatten(1).numpy(), found.targets.flatten(1).numpy()
    assert Ridge(10.0).fit(x[:500], y[:500]).score(x[500:], y[500:]) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "samples", "noise", "task", "reached"),
    [
        ("waves", 2000, 0.5, Classification(), lambda found: found["accuracy"] > 0.7),
        ("labels", 2000, 1.0, MultiLabel(), lambda found: found["label_accuracy"] > 0.7),
        ("regions", 800, 0.5, Segmentation(), lambda found: found["pixel_accuracy"] > 0.85),
        ("fields", 800, 0.2, Regression(), lambda found: found["mse"] < 0.025),  # mean: 0.047
    ],
    ids=list(SIZES),
)
def test_a_small_network_learns_it_in_four_epochs(
    problem: Any, samples: int, noise: float, task: Task, reached: Any
) -> None:
    held = {"test": samples // 5, "validation": samples // 10}
    found = data(problem, samples=samples, noise=noise, **held)
    space = DartsSpace(found.spec, network_channels=4, network_cells=3)
    network = space.build(space.named()["PC_DARTS_cifar"])
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=3e-4)
    schedule = CosineLearningRate(optimizer, epochs=4, minimum=0.0)
    update = Supervised(network, task, optimizer)
    training = torch.cat([found.indices("weights"), found.indices("architecture")])
    batches = Batches(found, training, batch_size=64, seed=0, name="train")
    for epoch in range(4):
        schedule.on_epoch(epoch)
        for batch in batches.epoch(epoch):
            update.step(batch)
    assert reached(evaluate(network, found, "test", task, device=torch.device("cpu")))


@pytest.mark.parametrize("problem", SIZES)
def test_the_samples_depend_on_their_seed_alone(problem: str) -> None:
    torch.manual_seed(1)
    one = data(problem)
    torch.manual_seed(2)
    same, other, split = data(problem), data(problem, seed=1), data(problem, split_seed=1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.targets, same.targets)
    assert not torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.inputs, split.inputs)
    assert not torch.equal(one.indices("test"), split.indices("test"))


def test_classes_are_split_evenly_and_mean_and_std_see_training_alone() -> None:
    found = data("waves", samples=400, test=80, validation=40)
    whole = torch.bincount(found.targets)
    for indices in found.splits.values():
        share = whole * len(indices) / 400
        assert float((torch.bincount(found.targets[indices]) - share).abs().max()) < 1
    training = torch.cat([found.indices("weights"), found.indices("architecture")])
    values = found.inputs[training].double()
    assert found.spec.mean == pytest.approx([values.mean().item()], abs=1e-6)
    assert found.spec.std == pytest.approx([values.std(correction=0).item()], abs=1e-6)


def test_the_fingerprint_covers_every_argument() -> None:
    other: dict[str, Any] = {"problem": "labels", "noise": 0.5, "architecture": 0.4}
    names = [field.name for field in dataclasses.fields(Synthetic)]
    prints = {Synthetic().fingerprint()}
    for name in names:
        changed = other.get(name, getattr(Synthetic(), name) + 1 if name not in other else None)
        prints.add(Synthetic(**{name: changed}).fingerprint())
    assert len(prints) == len(names) + 1
    assert Synthetic().load().fingerprint == Synthetic().fingerprint()


def test_the_fingerprint_needs_no_torch() -> None:
    code = (
        "import sys; from nas.data import Synthetic; Synthetic().fingerprint();"
        "sys.exit(str({'torch', 'numpy'} & set(sys.modules) or ''))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.stderr.strip() == b""


def test_every_problem_works_at_its_least_size() -> None:
    assert set(LEAST) == set(PROBLEMS)
    assert {"waves": data("waves").spec.outputs} == CLASSES
    for problem, least in LEAST.items():
        assert data(problem, size=least).spec.size[0] == least


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem": "wave"}, "one of waves, labels, regions, fields, got 'wave'; did you mean"),
        ({"size": 8}, "size must be .* at least 16 for problem=waves, got 8; set data.size"),
        ({"problem": "labels", "size": 31}, "at least 32 for problem=labels"),
        ({"samples": 2.5}, "samples must be a whole number of at least 4"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"noise": -0.1}, "noise must be a number of at least 0, got -0.1; set data.noise"),
        ({"noise": math.nan}, "noise must be a number"),
        ({"noise": True}, "noise must be a number"),
        ({"test": 0}, "synthetic_waves: test must be .*set data.test"),
        ({"samples": 500}, r"500 samples.*data\.test"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Synthetic(**settings)
