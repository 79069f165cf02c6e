"""``nas bench`` as it is typed, on a small table with known answers and on the one that ships."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.benchmarks.correlation import kendall
from nas.benchmarks.query import Query, select
from nas.benchmarks.registry import SHIPPED, load
from nas.benchmarks.store import provenance, write_table
from nas.cli import main
from nas.dataspec import DataSpec
from nas.space import decisions_of
from search_spaces.chain import ChainSpace
from tests.nas.benchmarks.made import table

Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_DATA_DIR", raising=False)
    write_table(table(), "made", {})
    return tmp_path


@pytest.fixture
def bench(here: Path, capfd: pytest.CaptureFixture[str]) -> Bench:
    def run(*words: str) -> dict[str, Any]:
        assert main(["bench", "run", "table=made/toy.json", *words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return run


def test_a_run_leaves_curves_figures_and_one_sentence(bench: Bench) -> None:
    found = bench("strategies=[random,local_search]", "seeds=10", "queries=25")
    folder = Path(found["folder"])
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("config.yaml", "correlations.csv", "curves.csv", "finals.csv", "regret.svg"),
        "result.json",
    }
    with (folder / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 25
    for row in rows:
        assert 0 <= float(row["low"]) <= float(row["regret"]) <= float(row["high"])
    by_name = {each["strategy"]: each for each in found["strategies"]}
    last = [float(row["regret"]) for row in rows if row["query"] == "25"]
    assert last == pytest.approx([each["regret"] for each in by_name.values()], rel=1e-4)
    assert by_name["random"]["p"] is None
    assert by_name["local_search"]["p_corrected"] < 0.05
    assert found["sentence"].startswith("better than random search: local_search (10 paired seeds")
    made = load("made/toy.json", Path())
    seen = select(made, Query(split="validation", epochs=9)).values
    judge = select(made, Query(split="test", epochs=9)).mean
    assert found["correlations"]["kendall"] == pytest.approx(kendall(seen[0], judge))


def test_the_same_command_writes_the_same_bytes(bench: Bench) -> None:
    words = ("strategies=[random,evolution]", "seeds=3", "queries=20")
    folder = Path(bench(*words)["folder"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {
        path.name: path.read_bytes() for path in Path(bench(*words)["folder"]).iterdir()
    } == before


def test_few_seeds_make_no_claim(bench: Bench) -> None:
    found = bench("strategies=[random,evolution]", "seeds=5", "queries=20")
    assert found["sentence"] == "5 paired seeds: no claim; 6 or more could"


def test_successive_halving_counts_seconds(bench: Bench) -> None:
    found = bench(
        "strategies=[random,successive_halving]", "seeds=6", "queries=null", "seconds=400"
    )
    assert found["seconds"] == 400
    assert [each["strategy"] for each in found["strategies"]] == ["random", "successive_halving"]


def test_a_metric_without_splits_is_made_small(bench: Bench) -> None:
    found = bench("metric=parameters", "split=null", "seeds=2", "queries=60")
    assert found["best_of_table"] == 100
    assert max(each["mean"] for each in found["strategies"]) < 102


def test_a_plan_writes_nothing(bench: Bench, here: Path) -> None:
    assert "estimates" in bench("seeds=2", "queries=5", "--plan")
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["queries=0"], "the budget queries must be above 0, got 0"),
        (["queries=null"], "a search needs a budget"),
        (["seeds=[0,1,0]"], "seeds needs distinct values, got 0 twice"),
        (["seeds=0"], "seeds must be a number from 1 to 10000"),
        (["strategies=[random,evolutoin]"], "unknown strategy 'evolutoin'"),
        (["split=test"], "test figures are not handed out during a search"),
        (["metric=psnr"], "has no metric 'psnr'; it has accuracy, parameters"),
        (["seconds=abc"], "seconds must be a number or null, got 'abc'"),
        (["action=rnu"], "there is no nas bench rnu; there are run, build, list, query"),
        (["epochs=0"], "epochs must be at least 1, got 0"),
        (["table=nasbench201"], "there is no nb201_architectures.csv.gz"),
        (["table=mine"], "unknown table 'mine'"),
        (["table=made/none.json"], "made/none.json"),
        (["seed=1"], "seed"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    first = [] if words[0].startswith("table=") else ["table=made/toy.json"]
    assert main(["bench", "run", *first, *words]) in (1, 2)
    out, err = capfd.readouterr()
    assert said in " ".join(err.split())
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert sorted(path.name for path in here.iterdir()) == ["made"]


def test_tables_are_listed_with_what_is_missing(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "list", "--json"]) == 0
    rows = {row["table"]: row["missing"] for row in json.loads(capfd.readouterr().out)}
    assert rows["chain"] == []
    assert rows["nas_bench_macro"] == ["nas_bench_macro_cifar10.csv.gz"]


def test_an_architecture_is_looked_up(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["bench", "query", "chain:20302", "split=test", "epochs=8", "metric=accuracy"]
    assert main([*line, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["values"]
    assert [each["seed"] for each in found] == [0, 1, 2]
    for word, said in {
        "chain:2030x": "layer5 of 'chain:2030x'",
        "chain:203022": "5 digits",
    }.items():
        assert main(["bench", "query", word]) == 1
        assert said in capfd.readouterr().err
    assert main(["bench", "query", "chain:20302", "epochs=3"]) == 2
    assert "with epochs 3; it has" in " ".join(capfd.readouterr().err.split())


def test_the_shipped_table_is_what_it_says() -> None:
    found = load("chain", Path())
    assert found.complete
    assert len(found) == 1024
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 300 * 1024
    assert decisions_of(ChainSpace(DataSpec((1, 8, 8), "classes", 10))) == found.space.by_name
    series = select(found, Query(split="validation", epochs=8))
    assert series.seeds == (0, 1, 2)
    assert series.complete
    taus = [kendall(series.values[i], series.values[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(taus) >= 0.6
    assert series.mean.max() - series.mean.min() >= 10
    assert "recipe" in provenance(SHIPPED / "chain.json")


def test_help_needs_neither_torch_nor_hydra() -> None:
    code = (
        "import sys; from nas.cli import main; main(['bench', '--help']); main(['bench', 'list']);"
        "sys.exit(bool({'torch', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0
