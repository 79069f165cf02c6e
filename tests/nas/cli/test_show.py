from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas import genotype as files
from nas.cli.show import cells_text
from nas.console import MAX_COLUMNS
from nas.dataspec import DataSpec
from nas.space import fingerprint
from search_spaces.darts import DartsSpace

Say = Callable[..., "tuple[int, str, str]"]
ARGS = {"channels": 8, "cells": 4, "nodes": 2, "network_channels": 12, "network_cells": 4}
RESULT = {
    "summary": "sep3 x4",
    "networks": [{"name": "found", "parameters": 214_000, "test": {"accuracy": 0.989}}],
}
# Cells of two nodes; an edge that no node keeps has no choice.
CHOICES = {
    f"{kind}/{name}": choice
    for kind in ("normal", "reduce")
    for name, choice in {
        "node2/inputs": (0, 1),
        "node3/inputs": (0, 2),
        "0->2": "sep_conv_3x3",
        "1->2": "skip_connect",
        "0->3": "max_pool_3x3",
        "2->3": "dil_conv_5x5",
    }.items()
}


def found(name: str = "darts", mark: str | None = None, **args: Any) -> files.GenotypeFile:
    space = DartsSpace(DataSpec((1, 8, 8), "classes", 10), **ARGS)
    return files.make(
        name,
        mark or fingerprint(space),
        CHOICES,
        args={**ARGS, **args},
        predicted={"params": 4018.0},
        provenance={"strategy": "pc_darts"},
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a finished run with a genotype, a result and a picture."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "search" / "darts-pc_darts-s0-abc123"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "normal.svg").write_text("<svg/>")
    (folder / "status.json").write_text('{"state": "finished"}')
    (folder / "result.json").write_text(json.dumps(RESULT))
    files.save(folder / "genotype.json", found())
    (tmp_path / "runs" / "latest").symlink_to("search/darts-pc_darts-s0-abc123")
    return folder


def test_a_run(say: Say, run: Path) -> None:
    status, out, err = say("show", "latest")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].split() == ["run", "runs/search/darts-pc_darts-s0-abc123"]
    for text in ("finished", "98.9 %", "plots/normal.svg", "\nnormal\n", "\nreduce\n", "dil 5x5"):
        assert text in out
    assert out.splitlines()[-1] == "next  nas retrain runs/search/darts-pc_darts-s0-abc123 seed=1"
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    assert say("show") == (0, out, "")


def test_a_run_as_json(say: Say, run: Path) -> None:
    status, out, err = say("show", "abc123", "--json")
    shown = json.loads(out)
    assert (status, err) == (0, "")
    assert shown["result"] == RESULT
    assert shown["status"]["state"] == "finished"
    assert shown["genotype"]["id"] == found().id
    assert list(shown["cells"]) == ["normal", "reduce"]
    assert shown["pictures"] == ["runs/search/darts-pc_darts-s0-abc123/plots/normal.svg"]


def test_a_run_that_only_began(say: Say, run: Path) -> None:
    for name in ("genotype.json", "result.json"):
        (run / name).unlink()
    (run / "status.json").write_text(
        json.dumps({"state": "failed", "stage": "search", "message": "loss is NaN"})
    )
    status, out, _ = say("show", "latest")
    assert status == 0
    assert "failed, search" in out
    assert "loss is NaN" in out
    assert "goes on from its last checkpoint" in out
    assert json.loads(say("show", "latest", "--json")[1])["genotype"] is None


def test_a_genotype_file(say: Say, run: Path) -> None:
    status, out, err = say("show", str(run / "genotype.json"))
    assert (status, err) == (0, "")
    assert found().id in out
    assert "predicted params" in out
    assert "\nnormal\n" in out
    shown = json.loads(say("show", str(run / "genotype.json"), "--json")[1])
    assert shown["genotype"]["choices"]["normal/0->2"] == "sep_conv_3x3"
    assert list(shown["cells"]) == ["normal", "reduce"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nope", "no run 'nope' in runs"),
        ("nope.json", "no genotype: cannot read nope.json"),
        ("damaged.json", "damaged.json is not JSON"),
    ],
)
def test_what_is_not_there(say: Say, run: Path, word: str, said: str) -> None:
    Path("damaged.json").write_text("{")
    status, out, err = say("show", word)
    assert (status, out) == (1, "")
    assert said in " ".join(err.split())


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (found("unheard_of"), "no config says which class space 'unheard_of' is"),
        (found(mark="0123456789ab"), "fingerprint"),
        (found(cells=1), "space.cells must be at least 3"),
    ],
)
def test_cells_that_cannot_be_shown(
    say: Say, tmp_path: Path, file: files.GenotypeFile, reason: str
) -> None:
    cells, why = cells_text(file, tmp_path / "config.yaml")
    assert cells == {}
    assert reason in why
    files.save(tmp_path / "genotype.json", file)
    status, out, _ = say("show", str(tmp_path / "genotype.json"))
    assert status == 0
    assert "the cells are not shown: " in out
