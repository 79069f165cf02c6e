from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas import genotype as files
from nas.console import MAX_COLUMNS
from nas.store.folder import RunFolder

Say = Callable[..., "tuple[int, str, str]"]
CHOICES = {"normal/0->2": "skip_connect", "normal/node2/inputs": (0, 1), "bits": 4}
LONG = "a value that is far too long to be shown beside another one in a table"


def make(root: Path, name: str, choices: dict[str, Any], **changed: Any) -> RunFolder:
    run = RunFolder.create(root / "search" / name)
    settings = {"seed": 0, "optim": {"lr": 0.1, "name": "sgd"}, **changed.get("settings", {})}
    run.config.write_text(json.dumps(settings))
    env = {"git": {"revision": "r1", "dirty": True}, "packages": {"torch": "2.11"}, "data": "d1"}
    run.env.write_text(json.dumps({**env, **changed.get("env", {})}))
    network = {"name": "found", "parameters": 214_000, "macs": 5e6, "test": {"accuracy": 0.989}}
    result = {"metric": "accuracy", "networks": [network], "search": {"seconds": 75}}
    run.result.write_text(json.dumps({**result, **changed.get("result", {})}))
    files.save(run.genotype, files.make("darts", "0123456789ab", choices))
    run.set_status("finished")
    return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make two runs that differ in a few things, and a copy of the first."""
    monkeypatch.chdir(tmp_path)
    make(Path("runs"), "first-1", CHOICES)
    make(Path("runs"), "copy-1", CHOICES)
    make(
        Path("runs"),
        "second-2",
        {**CHOICES, "normal/0->2": "sep_conv_3x3", "normal/node2/inputs": (0, 2)},
        settings={"seed": 1, "optim": {"lr": 0.2, "extra": LONG}},
        env={"git": {"revision": "r2", "dirty": False}, "devices": ["a card"]},
        result={"networks": [{"name": "found", "test": {"accuracy": 0.5}}]},
    )
    return Path("runs")


def test_settings_environment_genotype_and_results_are_told(say: Say, root: Path) -> None:
    status, out, err = say("diff", "first-1", "second-2")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    cells = [line.split() for line in out.splitlines()]
    for line in (
        ["one", "search/first-1"],
        ["other", "search/second-2"],
        ["seed", "0", "1"],
        ["optim.lr", "0.1", "0.2"],
        ["optim.name", "sgd", "(absent)"],
        ["optim.extra", "(absent)", *f"{LONG[:31]}...".split()],
        ["git", "revision", "r1", "r2"],
        ["devices", "a", "card"],
        ["decision", "(2", "of", "3", "differ)", "one", "other"],
        ["normal/0->2", "skip_connect", "sep_conv_3x3"],
        ["normal/node2/inputs", "0,", "1", "0,", "2"],
        ["test", "accuracy", "98.9", "%", "50.0", "%"],
        ["parameters", "0.21", "M"],
        ["search", "seconds", "1", "min", "15", "s", "1", "min", "15", "s"],
    ):
        assert line in cells
    assert not any(line[:1] == ["torch"] for line in cells)
    assert out.splitlines()[-1] == "next  nas show search/second-2"


def test_the_same_as_json(say: Say, root: Path) -> None:
    status, out, _ = say("diff", "first-1", "second-2", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["one"], found["other"]) == ("search/first-1", "search/second-2")
    assert found["settings"] == {
        "seed": [0, 1],
        "optim.lr": [0.1, 0.2],
        "optim.name": ["sgd", "(absent)"],
        "optim.extra": ["(absent)", LONG],
    }
    assert found["environment"] == {"git revision": ["r1", "r2"], "devices": ["", "a card"]}
    assert found["genotype"]["decisions"] == 3
    assert set(found["genotype"]["differing"]) == {"normal/0->2", "normal/node2/inputs"}
    assert found["results"]["test accuracy"] == [0.989, 0.5]
    assert found["results"]["parameters"] == [214_000.0, None]


def test_equal_runs_differ_in_nothing(say: Say, root: Path) -> None:
    out = say("diff", "first-1", "copy-1")[1]
    assert "nothing differs" in out
    assert "98.9 %" in out


def test_genotype_files_are_compared_by_their_decisions(say: Say, root: Path) -> None:
    one, other = (str(root / "search" / name / "genotype.json") for name in ("first-1", "second-2"))
    for words in ((one, other), (one, "second-2"), ("first-1", other)):
        status, out, _ = say("diff", *words)
        assert status == 0
        assert "decision (2 of 3 differ)" in out
        assert "optim.lr" not in out
        assert "result" not in out
    assert "nothing differs" in say("diff", one, "copy-1")[1]


def test_a_decision_that_only_one_side_has(say: Say, root: Path) -> None:
    files.save(root / "own.json", files.make("other", "0123456789ab", {"bits": 4, "rank": 2}))
    found = json.loads(say("diff", "first-1", str(root / "own.json"), "--json")[1])["genotype"]
    assert found["decisions"] == 4
    assert found["differing"]["rank"] == ["(absent)", 2]
    assert "bits" not in found["differing"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("first-1",), 2, "nas diff needs more words"),
        (("first-1", "nope"), 1, "no run 'nope' in runs"),
        (("first-1", "nope.json"), 1, "nope.json"),
        (("empty", "runs/search/first-1/genotype.json"), 1, "search/empty has no genotype yet"),
    ],
)
def test_what_cannot_be_compared_is_told(
    say: Say, root: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    RunFolder.create(root / "search" / "empty").set_status("failed")
    found = say("diff", *words)
    assert found[:2] == (status, "")
    assert said in " ".join(found[2].split())
