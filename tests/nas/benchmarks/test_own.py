"""Files of the user's: what they are is told from their content."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.benchmarks import Query
from nas.benchmarks.errors import QueryError, TableError
from nas.benchmarks.own import own_table
from nas.benchmarks.query import select
from nas.benchmarks.readers.nasbench201 import SPACE, codes_of, text_of
from nas.benchmarks.registry import load
from nas.benchmarks.store import write_table
from nas.errors import NasError
from tests.nas.benchmarks.made import table

CELL = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
OTHER = CELL.replace("avg_pool_3x3", "none")


def run(value: float, seed: int = 777, split: str = "x-valid") -> dict[str, Any]:
    curve = [[0, 10.0], [11, value]]
    return {"dataset": "cifar10-valid", "seed": seed, "epochs": 12, "eval_acc": {split: curve}}


def records(**halves: list[str]) -> dict[str, Any]:
    return {
        half: {str(i): {"arch": text, "runs": [run(60.0 + i)]} for i, text in enumerate(texts)}
        for half, texts in halves.items()
    }


def written(path: Path, content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


@pytest.mark.parametrize("name", ["mine.json", "mine.json.gz"])
def test_nats_bench_records_are_read(tmp_path: Path, name: str) -> None:
    file = written(tmp_path / name, records(tss=[CELL, OTHER], sss=["8:16:64:8:40"]))
    cells = load(file, tmp_path)
    assert (cells.name, cells.space.name, len(cells)) == ("mine", "nasbench201", 2)
    assert list(cells.genotype(0).values()) == [
        *("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none"),
    ]
    assert select(cells, Query(epochs=12)).mean.tolist() == [60.0, 61.0]
    assert cells.notes == (f"{name} also holds the size space: table={file}:sss",)
    sizes = load(f"{file}:sss", tmp_path)
    assert list(sizes.genotype(0).values()) == [8, 16, 64, 8, 40]


def test_a_table_of_nas_is_still_one(tmp_path: Path) -> None:
    file = write_table(table(), tmp_path, {})
    assert np.array_equal(own_table(str(file)).codes, table().codes)


def test_every_cell_has_one_text() -> None:
    rows = np.array(np.unravel_index(np.arange(SPACE.size), [5] * 6), dtype=np.uint8).T
    texts = [text_of(tuple(row)) for row in rows.tolist()]
    assert len(set(texts)) == 15_625
    assert np.array_equal(codes_of(texts), rows)


def test_two_runs_of_one_seed_are_refused(tmp_path: Path) -> None:
    content = records(tss=[CELL])
    content["tss"]["0"]["runs"].append(run(50.0))
    with pytest.raises(TableError, match=r"tss/0 has two runs with .*epochs=12 seed=777"):
        own_table(written(tmp_path / "mine.json", content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "neither a table that nas wrote .* nor NATS-Bench records .*it holds 'a';"),
        ([1], "neither .*it holds one list;"),
        ({}, "neither .*it holds nothing;"),
        (b'{"tss": ', "is damaged, it holds no JSON"),
        (records(tss=[]), "no NATS-Bench records of the topology space .there are none"),
        (records(tss=[CELL + "x"]), "is not written|KeyError"),
        (records(tss=[CELL + "|"]), "architecture 0 is .* which is not written"),
        (records(tss=[CELL.replace("~1|+", "~0|+")]), "architecture 0 is .* not written"),
        (records(tss=[CELL.replace("nor_conv_1x1", "conv")]), "KeyError: 'conv'"),
        (records(tss=["|none~0|"]), "has 1 of 6 choices"),
        (records(tss=[CELL, CELL]), "an architecture twice"),
        (records(sss=["8:8:8:8:12"]), "the size space .KeyError: '12'"),
        ({"tss": {"0": {"arch": CELL, "runs": [run(1.0, split="other")]}}}, "KeyError: 'other'"),
    ],
)
def test_what_is_neither_or_damaged_is_told(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(TableError, match=said):
        own_table(written(tmp_path / "mine.json", content))


def test_a_half_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.json", records(tss=[CELL]))
    with pytest.raises(QueryError, match="has no NATS-Bench records 'sss'; it has tss"):
        own_table(f"{file}:sss")
    with pytest.raises(QueryError, match="a half of NATS-Bench is tss or sss"):
        own_table(f"{file}:cells")
    with pytest.raises(NasError, match="no such file"):
        own_table(str(tmp_path / "none.json"))


def test_a_cut_archive_is_told(tmp_path: Path) -> None:
    file = Path(written(tmp_path / "mine.json.gz", records(tss=[CELL])))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(TableError, match="cannot be unpacked"):
        own_table(str(file))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    file = tmp_path / "NATS-tss.pickle"
    file.write_bytes(pickle.dumps({"tss": {}}))
    with pytest.raises(TableError, match="is a pickle, and nas unpickles nothing; make JSON"):
        load(str(file), tmp_path)
