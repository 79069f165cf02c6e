"""``nas rank`` as it is typed: resumed, in several processes, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main

SEARCH = ("space=nasbench201", "strategy=darts", "preset=smoke", "stages=[search]")
PLAIN = "execution=plain"  # no kernels to compile


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one short search in it."""
    home = tmp_path_factory.mktemp("rank")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["search", *SEARCH, PLAIN, "trainer.epochs=1"]) == 0
    return home


def rows_of(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "ranks.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rank(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    monkeypatch.chdir(home)

    def run(*words: str) -> dict[str, Any]:
        assert main(["rank", "latest", "epochs=1", *words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return run


def test_what_was_ranked_is_kept(rank: Callable[..., dict[str, Any]]) -> None:
    first = rank("n=5")
    assert set(first["agreement"]) == {"supernet to alone"}
    five = rows_of(first["folder"])
    result = Path(first["folder"]) / "retrain/000/result.json"
    made = result.stat().st_mtime_ns
    six = rows_of(rank("n=6")["folder"])
    assert six[:5] == five
    assert result.stat().st_mtime_ns == made  # not trained again
    assert len({tuple(row.values())[2:] for row in six}) == 6
    record = json.loads((Path(first["folder"]) / "rank.json").read_text())
    assert record["agreement"]["supernet to alone"]["n"] == 6
    assert (Path(first["folder"]) / "scatter.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_more_processes_give_the_same(rank: Callable[..., dict[str, Any]]) -> None:
    found = rank("n=8", "jobs=2")
    eight = rows_of(found["folder"])
    for name in ("006", "007"):
        (Path(found["folder"]) / "retrain" / name / "result.json").unlink()
    assert rows_of(rank("n=8")["folder"]) == eight


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["n=4"], "n must be a whole number of at least 5, got 4"),
        (["jobs=0"], "jobs must be a whole number of at least 1, got 0"),
        (["epochs=two"], "epochs must be a whole number of at least 1, got 'two'"),
        (["table=chain"], "table chain is of space 'chain', whose decisions are others"),
        (["n=20000"], "different architectures came out of"),
        (["data.batch=3"], "data.batch"),
    ],
)
def test_what_it_refuses_is_told_in_a_sentence(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(home)
    if words == ["n=20000"]:
        monkeypatch.setattr("nas.app.drawn.PATIENCE", 0.001)
    assert main(["rank", "latest", *words]) != 0
    assert told in " ".join(capfd.readouterr().err.split())
