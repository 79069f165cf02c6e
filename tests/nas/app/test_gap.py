"""The optimization gap of a run, beside figures that are put together by hand (2008.01475)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.analysis.summary import gap_text
from nas.app.gap import FILE, gap, measure_gap
from nas.app.reopen import reopen, saved_config
from nas.app.session import Session
from nas.app.stages.search import ended
from nas.arch import from_genotype
from nas.engine.evaluate import evaluate
from nas.files import read_json
from nas.policies import FreeLogits
from nas.space import discretize

SETTINGS = ("space=nasbench201", "data=digits", "preset=smoke", "threads=1", "execution=plain")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    runs = tmp_path_factory.mktemp("gap")
    words = (*SETTINGS, "strategy=darts", "stages=[search,derive]", f"runs={runs}")
    run = nas.search(*words, quiet=True)
    folder = nas.store.folder.RunFolder(run.folder)
    with reopen(saved_config(folder, []), folder) as found:
        assert ended(found)
        yield found


def test_the_three_figures_are_of_the_same_weights(session: Session) -> None:
    parts = session.parts
    choices = discretize(parts.space, parts.policy.probabilities())
    found = read_json(session.folder.path / FILE)
    search = read_json(session.folder.path / "search.json")
    assert found["metric"] == "accuracy"
    assert found["supernet"] == search["validation"]["accuracy"]
    arch = from_genotype(parts.supernet.decisions, choices)
    hard = evaluate(
        parts.supernet,
        parts.samples,
        "validation",
        parts.task,
        device=parts.device,
        call=lambda inputs: parts.supernet(inputs, arch),
    )
    assert found["inherited"] == hard["accuracy"]


def test_a_one_hot_policy_has_no_gap(session: Session) -> None:
    parts, policy = session.parts, session.parts.policy
    assert isinstance(policy, FreeLogits)
    choices = discretize(parts.space, policy.probabilities())
    before = read_json(session.folder.path / FILE)
    for name, decision in policy.decisions.items():
        for row, (index,) in enumerate(decision.positions(choices[name])):
            policy.logits(name)[row].fill_(-1e4)
            policy.logits(name)[row, index] = 0.0
    measure_gap(session, choices)
    after = read_json(session.folder.path / FILE)
    assert after["supernet"] == after["inherited"] == before["inherited"]
    assert after["recalibrated"] == before["recalibrated"]


def test_the_gap_is_told_in_a_line(session: Session) -> None:
    networks: list[dict[str, Any]] = [{"name": "found", "validation": {"accuracy": 0.75}}]
    assert gap(session, networks)["retrained"] == 0.75
    assert gap(session, [])["retrained"] is None
    told = {"metric": "accuracy", "supernet": None, "inherited": 0.5, "recalibrated": 0.625}
    expected = "derived with its weights 50.0 %, recalibrated 62.5 %; accuracy on validation"
    assert gap_text({"gap": told}) == expected
    assert gap_text({}) == ""


def test_without_a_supernet_there_is_none(tmp_path: Path) -> None:
    words = (*SETTINGS, "strategy=random", "stages=[search,derive]", f"runs={tmp_path}")
    run = nas.search(*words, quiet=True)
    assert not (Path(run.folder) / FILE).exists()
