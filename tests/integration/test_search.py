"""The main job from the command line, once, and everything that it must leave behind."""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
from sklearn.datasets import load_digits

import nas.genotype
from nas.cli import main
from nas.export.weights import load_weights
from nas.store.folder import RunFolder, resolve

QUICK = ("experiment=pc_darts_digits", "preset=smoke", "threads=1")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("search")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def run(here: Path) -> RunFolder:
    assert main(["search", *QUICK]) == 0
    return resolve("latest", "runs")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_file_is_there(run: RunFolder) -> None:
    names = {path.name for path in run.path.iterdir()}
    assert {
        ".hydra",
        "config.yaml",
        "env.json",
        "status.json",
        "splits.json",
        "metrics.jsonl",
        "genotypes",
        "genotype.json",
        "checkpoints",
        "tb",
        "plots",
        "report.html",
        "result.json",
    } <= names
    assert sorted(path.name for path in run.plots.iterdir()) == ["normal.svg", "reduce.svg"]
    assert run.status().state == "finished"
    assert re.fullmatch(r"darts-pc_darts-s0-[0-9a-f]{6}", run.name)


def test_the_examples_for_python_hold(run: RunFolder) -> None:
    """The document's own search is the run that is there already."""
    document = Path(__file__).parents[2] / "docs" / "python.md"
    found = doctest.testfile(str(document), module_relative=False, verbose=False)
    assert found.attempted >= 8
    assert found.failed == 0


def test_a_loaded_network_is_the_one_that_was_evaluated(run: RunFolder) -> None:
    net = nas.load(run.path)
    assert not net.training
    stored, _ = load_weights(run.retrain("found") / "weights.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in net.state_dict().items())
    with pytest.raises(nas.NasError, match="holds no retrained network 'random-7'"):
        nas.load(run.path, "random-7")


def test_a_finished_run_is_not_run_again(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    assert main(["search", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "already finished" in printed
    assert "fresh=true" in printed
    assert "test accuracy" in printed
    assert printed.splitlines()[-2:] == [
        "next    nas show latest · nas evaluate latest",
        "        nas search --from latest strategy=darts",
    ]
    changed = [
        p for p, t in before.items() if p.stat().st_mtime_ns != t and ".hydra" not in p.parts
    ]
    assert changed == []


def test_the_splits_are_saved_and_disjoint_and_the_test_split_is_for_evaluation(
    run: RunFolder,
) -> None:
    record = read(run.splits)
    parts = record["indices"]
    assert sorted(parts) == ["architecture", "test", "validation", "weights"]
    everything = [index for part in parts.values() for index in part]
    assert sorted(everything) == list(range(1797))
    assert len(parts["test"]) == 540
    assert all(n["test"]["count"] == 540 for n in read(run.result)["networks"])
    config = run.config.read_text()
    assert "test: 540" in config


def test_the_reported_test_accuracy_is_that_of_the_stored_weights(run: RunFolder) -> None:
    """Recomputed without the project's data code: scikit-learn's arrays and the saved indices."""
    from nas.dataspec import DataSpec
    from search_spaces.darts import DartsSpace

    digits = load_digits()
    record = read(run.splits)["indices"]
    training = record["weights"] + record["architecture"]
    images = torch.tensor(digits.images, dtype=torch.float64) / 16
    mean, std = images[training].mean(), images[training].std(correction=0)
    file = nas.genotype.load(run.genotype)
    args = dict(file.space.args.items())
    network = DartsSpace(DataSpec((1, 8, 8), "classes", 10), **args).network(file.choices)
    state, text = load_weights(run.retrain("found") / "weights.safetensors")
    network.load_state_dict(state)
    assert nas.genotype.loads(text).choices == file.choices
    network.eval()
    inputs = ((images[record["test"]] - mean) / std).float()[:, None]
    correct = network(inputs).argmax(1) == torch.tensor(digits.target[record["test"]])
    (found,) = [n for n in read(run.result)["networks"] if n["name"] == "found"]
    assert found["test"]["accuracy"] == pytest.approx(correct.double().mean().item(), abs=2 / 540)


def test_metrics_have_one_row_per_epoch_and_stage(run: RunFolder) -> None:
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    seen = [(row["stage"], row["epoch"]) for row in rows]
    assert len(set(seen)) == len(seen)
    assert [epoch for stage, epoch in seen if stage == "search"] == [0, 1, 2]
    phases = [row["phase"] for row in rows if row["stage"] == "search"]
    assert phases == ["warmup", "search", "search"]
    last = [row for row in rows if row["stage"] == "search"][-1]["metrics"]
    wanted = {"loss/weights", "loss/architecture", "accuracy/validation", "entropy/normal"}
    assert wanted <= set(last)


def test_the_event_files_hold_scalars_histograms_pictures_and_final_metrics(run: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    def read_back(folder: Path) -> EventAccumulator:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        return events

    search = read_back(run.tb / "search")
    assert {"loss/weights", "accuracy/validation"} <= set(search.Tags()["scalars"])
    assert {"weights/normal/8", "weights/reduce/8"} <= set(search.Tags()["histograms"])
    assert [e.step for e in search.Scalars("loss/weights")] == [0, 1, 2]
    assert "loss/train" in read_back(run.tb / "retrain" / "found").Tags()["scalars"]
    events = read_back(run.tb)
    assert {"cells/normal", "cells/reduce"} <= set(events.Tags()["images"])
    (final,) = events.Scalars("final")
    (found,) = [n for n in read(run.result)["networks"] if n["name"] == "found"]
    assert final.value == pytest.approx(found["validation"]["accuracy"])
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["strategy"].string_value == "pc_darts"
    assert settings["seed"].number_value == 0


def test_the_peers_have_equal_macs_or_say_theirs(run: RunFolder) -> None:
    found, *others = read(run.result)["networks"]
    assert [n["name"] for n in others] == ["random-0"]
    assert others[0]["macs"] == pytest.approx(found["macs"], rel=0.05)
    assert others[0]["genotype"] != found["genotype"]
    assert "no difference" in read(run.result)["comparison"]["sentence"] or (
        "does not establish" in read(run.result)["comparison"]["sentence"]
    )


def test_the_exports_are_compared_with_the_original(run: RunFolder) -> None:
    records = {record["format"]: record for record in read(run.export / "parity.json")["exports"]}
    assert set(records) == {"safetensors", "torch_export", "onnx"}
    for record in records.values():
        if record["status"] == "written":
            assert record["largest_difference"] < 1e-4
            assert (run.export / record["path"]).stat().st_size == record["bytes"]


def test_the_report_is_one_file_without_an_outside(run: RunFolder) -> None:
    page = run.report.read_text(encoding="utf-8")
    assert "<svg" in page
    assert not re.search(r"(src|href)=[\"']https?:", page)
    assert "macs: multiply-accumulates of convolutions and linear layers" in page


def test_the_genotype_predicts_the_costs_of_its_network(run: RunFolder) -> None:
    file = nas.genotype.load(run.genotype)
    (found,) = [n for n in read(run.result)["networks"] if n["name"] == "found"]
    counted = {"params": found["parameters"], "macs": found["macs"]}
    assert {name: file.predicted[name] for name in counted} == counted
    assert set(file.predicted) == {*counted, "size_kb", "bitops"}
    assert file.provenance["run"] == run.name.rpartition("-")[2]
    epochs = sorted((run.path / "genotypes").iterdir())
    assert [path.name for path in epochs] == [f"epoch_{e:03d}.json" for e in range(3)]
    assert nas.genotype.load(epochs[-1]).choices == file.choices


def test_the_environment_is_recorded(run: RunFolder) -> None:
    env = read(run.env)
    assert env["packages"]["torch"] == torch.__version__.split("+")[0]
    assert env["torch"]["threads"] == 1
    assert env["command"][:2] == ["nas", "search"]


def test_the_graph_flows_one_way(run: RunFolder) -> None:
    from nas.dataspec import DataSpec
    from search_spaces.darts import DartsSpace

    graph = DartsSpace(DataSpec((1, 8, 8), "classes", 10)).graph(
        nas.genotype.load(run.genotype).choices
    )
    assert nx.is_directed_acyclic_graph(graph)


def test_show_and_evaluate_tell_the_stored_figures(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "latest"]) == 0
    shown = capsys.readouterr().out
    assert "normal" in shown
    assert "plots/normal.svg" in shown
    assert main(["evaluate", "latest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (found,) = [n for n in read(run.result)["networks"] if n["name"] == "found"]
    assert told["test"]["accuracy"] == found["test"]["accuracy"]


def test_a_run_with_a_users_modules_is_opened_only_if_they_are_named(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run.config.read_text()
    try:
        run.config.write_text(config.replace("plugins: []", "plugins: [somewhere.else]"))
        assert main(["evaluate", "pc_darts_digits"]) == 2
    finally:
        run.config.write_text(config)
    assert "add plugins=[somewhere.else]" in capsys.readouterr().err


def test_one_format_again_leaves_the_records_of_the_others(run: RunFolder) -> None:
    before = read(run.export / "parity.json")["exports"]
    assert main(["export", "pc_darts_digits", "formats=[safetensors]"]) == 0
    after = read(run.export / "parity.json")["exports"]
    assert sorted(r["format"] for r in after) == sorted(r["format"] for r in before)


def test_a_plan_writes_nothing(
    here: Path,
    run: RunFolder,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nas.app.plan.TIMED", 2)  # what it estimates is not looked at here
    before = sorted(str(path) for path in here.rglob("*"))
    assert main(["search", *QUICK, "seed=7", "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "1.08e+18 genotypes" in printed
    assert "partial channels on 42 edges" in printed
    assert "auxiliary head off" in printed
    assert sorted(str(path) for path in here.rglob("*")) == before


def test_a_published_genotype_is_retrained_alone(
    here: Path, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["retrain", "DARTS_V2", *QUICK, "trainer.network_epochs=1", "stages=[retrain,evaluate]"]
    assert main(line) == 0
    retrained = resolve("latest", "runs")
    assert retrained.path.parent.name == "retrain_pc_darts_digits"
    assert [n["name"] for n in read(retrained.path / "retrain.json")["networks"]] == ["found"]
    file = nas.genotype.load(retrained.genotype)
    assert file.choices["normal/node5/inputs"] == (0, 2)
    assert file.choices["normal/2->5"] == "dil_conv_3x3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["space.channels=6"], "not divisible by k=4"),
        (["trainer.batch_size=900"], "batch size 900 is larger than the split"),
        (["data.validation=0"], "validation"),
        (["budget.params=-1"], "must be a number above 0"),
        (["strategy=gdas", "strategy.schedules.temperature.start=0"], "above 0"),
        (["strategy=darts_2nd", "+optim.weights.nesterov=true"], "order=2"),
        (["space.operations=[none]"], "at least one operation"),
        (["space.cells=2"], "at least 3"),
        (["space._target_=os.system"], "plugins=[os]"),
        (["device=cuda"], "no CUDA device"),
        (["precision=fp8"], "one of fp32, bf16"),
        (["stages=[retrain]"], "needs stage 'derive'"),
        (["stages=[serch]"], "did you mean 'search'"),
        (["trainer.epochs=-3"], "trainer.epochs must be a whole number of at least 1"),
        (["trainer.random_networks=-1"], "at least 0"),
        (["trainer.drop_path=1.5"], "from 0 to below 1"),
        (["threads=0"], "threads must be a whole number of at least 1"),
        (["resume=sometimes"], "auto, never, must, force"),
        (["resume=must", "seed=98"], "nothing was started"),
    ],
)
def test_mistakes_are_one_sentence(
    here: Path, settings: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "device=cuda" in settings and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert main(["search", *QUICK, "seed=99", "space.nodes=1", *settings]) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith("error:")
    assert message in told
    assert "Traceback" not in told
