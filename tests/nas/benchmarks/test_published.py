"""Published tables: their figures where they are, and what is said where they are not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from nas.benchmarks import Query
from nas.benchmarks.correlation import kendall, spearman
from nas.benchmarks.errors import QueryError, TableError
from nas.benchmarks.query import select
from nas.benchmarks.readers import published
from nas.benchmarks.readers.darts import SPACE as DARTS
from nas.benchmarks.readers.nats import from_records
from nas.benchmarks.registry import TABLES, load
from nas.dataspec import DataSpec
from nas.space import check_genotype, decisions_of
from search_spaces.darts import DartsSpace

FILE = "nas_bench_macro_cifar10.csv.gz"


@pytest.mark.data
def test_nasbench201_has_the_known_maxima_and_correlations(data_dir: Path) -> None:
    began = time.perf_counter()
    table = load("nasbench201", data_dir)
    assert time.perf_counter() - began < 2  # 0.2 s on an idle core
    for dataset, most in {"cifar10": 84.89, "cifar100": 61.32, "ImageNet16-120": 38.67}.items():
        seen = select(table, Query("accuracy", dataset, "validation")).mean
        assert round(float(seen.max()), 2) == most
    sizes = select(table, Query("parameters", "cifar10")).mean
    seen = select(table, Query("accuracy", "cifar10", "validation")).mean
    assert kendall(seen, sizes) == pytest.approx(kendalltau(seen, sizes).statistic, abs=1e-12)
    assert spearman(seen, sizes) == pytest.approx(spearmanr(seen, sizes).statistic, abs=1e-12)
    assert table.complete
    assert int((~np.isnan(select(table, Query("accuracy", "cifar10", "test")).mean)).sum()) == 1492


@pytest.mark.data
def test_macro_has_its_published_figures(data_dir: Path) -> None:
    table = load("nas_bench_macro", data_dir)
    series = select(table, Query())
    assert table.complete
    best = int(series.mean.argmax())
    assert "".join(map(str, table.codes[best])) == "22212202"
    assert round(float(series.mean.max()), 3) == 93.127
    assert round(float(series.mean.mean()), 2) == 90.25
    flops = select(table, Query("macs")).mean
    assert spearman(series.mean, flops) == pytest.approx(0.748, abs=1e-3)
    between = [spearman(series.values[i], series.values[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.mean(between) == pytest.approx(0.980, abs=2e-3)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows"), [("darts_random107", 107), ("nasbench301", 725), ("fbnet_latency", 5000)]
)
def test_samples_of_large_spaces_read(data_dir: Path, name: str, rows: int) -> None:
    table = load(name, data_dir)
    assert len(table) == rows
    assert not table.complete
    assert table.row(table.genotype(17)) == 17


@pytest.mark.data
def test_cells_of_darts_tables_are_genotypes_of_the_space(data_dir: Path) -> None:
    space = DartsSpace(DataSpec((3, 32, 32), "classes", 10))
    assert decisions_of(space) == DARTS.by_name
    table = load("darts_random107", data_dir)
    for row in range(len(table)):
        check_genotype(space, table.genotype(row))


@pytest.mark.data
def test_nats_records_keep_every_run(data_dir: Path) -> None:
    table = load("nats_six", data_dir)
    series = select(table, Query("accuracy", "cifar10-valid", "validation", 12))
    assert series.seeds == (111, 777)
    assert series.mean[0] == pytest.approx((62.712 + 64.016) / 2)
    known = select(load("nasbench201", data_dir), Query("accuracy", "cifar10", "validation")).mean
    assert series.mean[0] == pytest.approx(known[0], abs=1e-3)


@pytest.mark.data
def test_channel_sizes_are_a_space_of_their_own(data_dir: Path) -> None:
    table = load("nats_size", data_dir)
    assert table.space.size == 8**5
    assert list(table.genotype(2).values()) == [8, 8, 40, 32, 40]
    series = select(table, Query("accuracy", "cifar100", "test", 90))
    assert series.mean.tolist() == [32.3, 53.68, 62.7]


@pytest.mark.data
def test_devices_have_their_published_figures(data_dir: Path) -> None:
    table = load("nasbench201_pi5", data_dir)
    assert table.complete
    latency = select(table, Query("latency_ms")).mean
    energy = select(table, Query("energy_mJ")).mean
    assert (latency[3], energy[3]) == (1.21992, 1.78876)
    macs = select(load("nasbench201", data_dir), Query("macs", "cifar100")).mean
    assert spearman(latency, energy) == pytest.approx(0.977, abs=1e-3)
    assert spearman(latency, macs) == pytest.approx(0.790, abs=1e-3)
    board = load("nasbench201_mcu", data_dir)
    assert (len(board), board.metrics()[2:]) == (35, ("int8_model_KiB", "arena_KiB"))
    found = {metric: select(board, Query(metric)).mean for metric in board.metrics()}
    assert found["latency_ms"][1] == pytest.approx(6409.713)
    assert found["energy_mJ"][1] == 75.9973
    cell = load("nasbench201", data_dir).genotype(2)  # the source has no cell 1
    assert board.row(cell) == 1
    assert spearman(found["latency_ms"], found["energy_mJ"]) > 0.99


@pytest.mark.data
def test_published_scores_are_of_the_cells_they_name(data_dir: Path) -> None:
    table = load("nasbench201_proxies", data_dir)
    known = load("nasbench201", data_dir)
    assert (len(table), len(table.metrics())) == (725, 13)
    rows = [known.row(table.genotype(row)) for row in range(len(table))]
    for dataset, rho in {"cifar10": 0.800, "cifar100": 0.816}.items():
        sizes = select(table, Query("nb201_params_M", dataset)).mean * 1e6
        # Published with six digits.
        own = select(known, Query("parameters", dataset)).mean[rows]
        assert sizes == pytest.approx(own, rel=1e-5)
        scores = select(table, Query("nb201_nwot", dataset)).mean
        seen = select(table, Query("accuracy", dataset)).mean
        there = np.isfinite(scores) & np.isfinite(seen)
        # The published rho is over all 725 cells, of which 72 have their accuracy here.
        assert spearman(scores[there], seen[there]) == pytest.approx(rho, abs=0.1)
    assert int(select(table, Query("accuracy", "cifar10")).known.sum()) == 72
    assert int(select(table, Query("nb201_jacov", "ImageNet16-120")).known.sum()) == 724


def test_records_of_another_form_are_refused() -> None:
    with pytest.raises(TableError, match="mine holds no NATS-Bench records"):
        from_records({"tss": {"0": {"runs": 3}}}, "mine")


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=f"no {FILE} in .*NAS_DATA_DIR=FOLDER"):
        load("nas_bench_macro", tmp_path)
    assert TABLES["nas_bench_macro"].missing(tmp_path) == [FILE]


@pytest.mark.parametrize(
    ("change", "said"), [(-5, "is cut off"), (3, "is altered"), (0, "SHA-256")]
)
def test_a_changed_file_is_told(tmp_path: Path, change: int, said: str) -> None:
    (tmp_path / FILE).write_bytes(b"x" * (published.KNOWN[FILE][1] + change))
    with pytest.raises(TableError, match=said):
        load("nas_bench_macro", tmp_path)


def test_an_unknown_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"unknown table 'nasbench210'.* 'nasbench201'"):
        load("nasbench210", tmp_path)


def test_tables_need_no_torch() -> None:
    import subprocess

    code = "import sys, nas.benchmarks.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
