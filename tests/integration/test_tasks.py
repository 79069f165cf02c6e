"""PC-DARTS on sequences with classes, with labels, and with an image out: from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

import nas.genotype
from nas.cli import main
from nas.data import Synthetic
from nas.export.weights import load_weights
from nas.store.folder import RunFolder, resolve
from search_spaces.darts import DartsSpace

SIZES = {"test": 48, "validation": 24}
TINY = (
    "preset=smoke",
    "threads=1",
    "space.nodes=1",
    "space.operations=[none,max_pool_3x3,skip_connect,sep_conv_3x3]",
    "trainer.epochs=2",
    "trainer.batch_size=24",
    "trainer.network_batch_size=24",
    "trainer.network_epochs=4",
    "logger.tensorboard=false",
    *(f"data.{name}={count}" for name, count in SIZES.items()),
)


STAGES = "stages=[search,derive,retrain,evaluate,report]"
NO_REPORT = "stages=[search,derive,retrain,evaluate]"  # test_search.py has one on an accuracy


class Case(NamedTuple):
    """A line of settings, the data that it trains on, and what comes out for one sample."""

    settings: tuple[str, ...]
    data: Synthetic
    output: tuple[int, ...]
    metric: str


CASES = {
    "waves": Case(
        (
            "data=synthetic_waves",
            "data.samples=264",
            "data.size=32",
            "trainer.random_networks=0",
            NO_REPORT,
        ),
        Synthetic("waves", 264, 32, 0.5, **SIZES),
        (4,),
        "accuracy",
    ),
    "labels": Case(
        (
            "data=synthetic_labels",
            "task=multi_label",
            "data.samples=264",
            "data.size=32",
            "trainer.random_networks=0",
            STAGES,
        ),
        Synthetic("labels", 264, 32, 1.0, **SIZES),
        (5,),
        "f1",
    ),
    "fields": Case(
        ("data=synthetic_fields", "task=regression", "data.samples=264", "data.size=9", STAGES),
        Synthetic("fields", 264, 9, 0.2, **SIZES),
        (1, 9, 9),
        "mse",
    ),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("tasks"))
    yield Path.cwd()
    patch.undo()


@pytest.fixture(scope="module", params=list(CASES))
def searched(here: Path, request: pytest.FixtureRequest) -> tuple[str, RunFolder]:
    name = str(request.param)
    assert main(["search", *CASES[name].settings, *TINY]) == 0
    return name, resolve("latest", "runs")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_losses_fall(searched: tuple[str, RunFolder]) -> None:
    _, run = searched
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    search = [row["metrics"]["loss/weights"] for row in rows if row["stage"] == "search"]
    retrain = [row["metrics"]["loss/train"] for row in rows if row["stage"] == "retrain/found"]
    assert len(search) == 2
    assert search[-1] < search[0]
    assert len(retrain) == 4
    assert retrain[-1] < 0.9 * retrain[0]


def test_the_stored_figures_are_those_of_the_stored_network(
    searched: tuple[str, RunFolder],
) -> None:
    """Shapes, and the test value anew, by other code than the tasks'."""
    name, run = searched
    case, data = CASES[name], CASES[name].data.load()
    file = nas.genotype.load(run.genotype)
    network = DartsSpace(data.spec, **dict(file.space.args)).network(file.choices)
    state, _ = load_weights(run.retrain("found") / "weights.safetensors")
    network.load_state_dict(state)
    rows = torch.tensor(read(run.splits)["indices"]["test"])
    mean, std = data.spec.mean[0], data.spec.std[0]
    with torch.no_grad():
        output = network.eval()((data.inputs[rows] - mean) / std).numpy()
    target = data.targets[rows].numpy()
    assert output.shape == (48, *case.output)
    wanted = {
        "accuracy": lambda: accuracy_score(target, output.argmax(1)),
        "f1": lambda: f1_score(target, output > 0, average="samples", zero_division=1.0),
        "mse": lambda: np.square(output - target).mean(),
    }
    found = read(run.path / "evaluation.json")["test"]["found"]
    assert found["count"] == 48
    assert found[case.metric] == pytest.approx(wanted[case.metric](), rel=1e-4)


@pytest.mark.parametrize("searched", ["labels", "fields"], indirect=True)
def test_tables_and_report_speak_of_the_metric(
    searched: tuple[str, RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    name, run = searched
    metric, result = CASES[name].metric, read(run.result)
    assert (result["metric"], result["higher_is_better"]) == (metric, metric != "mse")
    if name == "fields":
        assert "found mse" in result["comparison"]["sentence"]
    page = run.report.read_text(encoding="utf-8")
    assert f"test {metric}" in page
    assert "ccurac" not in page.replace("label_accuracy", "").replace("label accuracy", "")
    assert main(["show", str(run.path)]) == 0
    assert f"test {metric}" in capsys.readouterr().out
    assert main(["ls", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["metric"], row["test_accuracy"]) == (metric, None)
    (value,) = [n["test"][metric] for n in result["networks"] if n["name"] == "found"]
    assert row["test"] == value


def test_data_of_another_kind_are_refused_with_the_task_for_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "data=synthetic_fields", *TINY, NO_REPORT]) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "got 'image'; choose task=regression, or other data" in told
    assert "Traceback" not in told
