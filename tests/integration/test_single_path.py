"""Strategies that learn no architecture, from the command line: SPOS, FairNAS and no search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.app.candidates import QUERIES
from nas.cli import main
from nas.store.folder import RunFolder, resolve

LINE = [
    "space=chain",
    "preset=smoke",
    "threads=1",
    "execution=plain",  # no kernels to compile
    "trainer.network_epochs=1",
    "logger.tensorboard=false",
    "formats=[safetensors]",
]
SEARCH = ["strategy=spos", *LINE, "stages=[search,derive]", "strategy.derivation.batches=1"]


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("paths")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def searched(*words: str) -> RunFolder:
    assert main(["search", *words, "--quiet"]) == 0
    return resolve("latest", "runs")


def test_spos_ends_in_a_result_that_says_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = searched("strategy=spos", *LINE, "trainer.random_networks=0")
    result = read(run.result)
    assert result["search"]["architecture_parameters"] == 0
    assert result["search"]["steps"] == 15
    rows = [json.loads(line) for line in (run.path / QUERIES).read_text().splitlines()]
    assert len(rows) == result["derivation"]["queries"] == 6
    best = max(rows, key=lambda row: row["score"])
    assert best["score"] == result["derivation"]["score"]
    assert read(run.genotype)["choices"] == best["choices"]
    assert result["derivation"]["sentence"].startswith("evolution: best accuracy of 6 paths")
    (found,) = (each for each in result["networks"] if each["name"] == "found")
    assert found["test"]["count"] == 540
    assert not list(run.path.glob("genotypes/*"))  # nothing is derived before the end
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "weights=supernet", "--json"]) == 0
    supernet = json.loads(capsys.readouterr().out)["validation"]["accuracy"]
    # With the statistics of the path, as it was scored, on other samples.
    assert supernet == pytest.approx(best["score"], abs=0.1)


def test_nothing_is_searched_at_random_and_the_report_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = searched("strategy=random", *LINE)
    capsys.readouterr()
    result = read(run.result)
    assert set(result["search"].values()) == {0}
    assert result["derivation"]["queries"] == 0
    sentence = "nothing was searched: the architecture was drawn uniformly"
    assert result["derivation"]["sentence"] == sentence
    assert sentence in (run.path / "report.html").read_text()
    assert len(result["networks"]) == 2
    assert not run.checkpoints("search").exists()
    assert main(["search", "strategy=random", *LINE]) == 0
    assert sentence in capsys.readouterr().out
    assert main(["search", "strategy=random", *LINE, "seed=1", "--plan"]) == 0
    assert "nothing is trained to find an architecture" in capsys.readouterr().out
    assert main(["derive", str(run.path)]) == 1
    assert "trains no supernet, so that there is no checkpoint to derive from" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_killed_derivation_goes_on_and_ends_equal(capsys: pytest.CaptureFixture[str]) -> None:
    run = searched(*SEARCH)
    whole = {name: (run.path / name).read_text() for name in (QUERIES, "derivation.json")}
    genotype = read(run.genotype)
    checkpoints = {p: p.read_bytes() for p in run.checkpoints("search").iterdir()}
    run.genotype.unlink()
    (run.path / "derivation.json").unlink()
    lines = whole[QUERIES].splitlines(keepends=True)
    torn = lines[3][: len(lines[3]) // 2]  # killed while it was written
    (run.path / QUERIES).write_text("".join(lines[:3]) + torn)
    searched(*SEARCH)
    assert {name: (run.path / name).read_text() for name in whole} == whole
    assert read(run.genotype) == genotype
    # Derivation leaves the supernet as the search left it.
    assert {p: p.read_bytes() for p in run.checkpoints("search").iterdir()} == checkpoints
    # ``nas derive`` scores anew, whatever the run keeps, and changes nothing of it.
    (run.path / QUERIES).write_text("")
    capsys.readouterr()
    assert main(["derive", str(run.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same_as_run"]
    assert told["genotype"]["choices"] == genotype["choices"]
    assert told["derivation"] == json.loads(whole["derivation.json"])["sentence"]
    assert (run.path / QUERIES).read_text() == ""
    # Execution is a matter of mixed operations: paths are plain in any case.
    others = [word for word in SEARCH if not word.startswith("execution")]
    fused = searched(*others, "execution=fused")
    assert fused.path != run.path
    assert (fused.path / QUERIES).read_text() == whole[QUERIES]


def test_a_budget_is_kept_and_a_method_can_be_chosen() -> None:
    limit = 4e4  # most of the space is above it
    for strategy in ("spos", "random"):
        stages = "stages=[search,derive,report]"
        run = searched(f"strategy={strategy}", *LINE, stages, f"budget.macs={limit}")
        result = read(run.result)
        assert result["budget"] == [
            {
                "name": "macs",
                "limit": limit,
                "value": result["budget"][0]["value"],
                "met": True,
            }
        ]
        assert f"budget.macs={limit:g}" in result["derivation"]["sentence"]


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_fair_paths_on_cells(space: str) -> None:
    more = ["trainer.epochs=1", "strategy.derivation.queries=2", "strategy.derivation.batches=1"]
    run = searched(
        "strategy=fairnas",
        f"space={space}",
        "strategy.derivation.method=local_search",
        *more,
        *LINE[1:],
        *(["space.nodes=1"] if space == "darts" else []),
        "stages=[search,derive]",
    )
    assert read(run.path / "derivation.json")["queries"] == 2


def test_a_method_that_does_not_suit_the_space_is_told_before_the_search(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["strategy=spos", "strategy.derivation.method=reinforce", *LINE[1:]]
    assert main(["search", "space=darts", *line]) == 2
    assert "keeps several; choose another" in " ".join(capsys.readouterr().err.split())
