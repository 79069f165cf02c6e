from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.benchmarks import Query, Table
from nas.benchmarks.errors import QueryError, TableError
from nas.benchmarks.query import select
from nas.benchmarks.store import provenance, read_table, write_table
from nas.errors import GenotypeError, NasError
from tests.nas.benchmarks.made import BEST, table


def test_rows_and_genotypes_are_each_other_s_inverse() -> None:
    made = table()
    assert made.complete
    assert [made.row(made.genotype(row)) for row in range(len(made))] == list(range(len(made)))
    assert made.row(BEST) == len(made) - 1


def test_what_is_not_in_the_table_is_told() -> None:
    made = table()
    with pytest.raises(GenotypeError, match="unknown candidate 'd'"):
        made.row({**BEST, "layer2": "d"})
    part = replace(made, codes=made.codes[:9], values=made.values[:, :9], seconds=None)
    assert not part.complete
    with pytest.raises(QueryError, match="does not hold this architecture: it has 9 of 81"):
        part.row(BEST)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: {"codes": t.codes[:, :3]}, "3 codes for 4 decisions"),
        (lambda t: {"codes": np.concatenate([t.codes[:-1], t.codes[:1]])}, "architecture twice"),
        (lambda t: {"codes": t.codes + 1}, "a code outside its decision"),
        (lambda t: {"values": t.values[:, :5]}, "values of shape"),
        (lambda t: {"columns": (t.columns[0],) * len(t.columns)}, "a column twice"),
        (lambda t: {"seconds": np.ones(3)}, "3 costs for 81"),
    ],
)
def test_a_damaged_table_is_refused(change: object, fault: str) -> None:
    made = table()
    with pytest.raises(TableError, match=fault):
        replace(made, **change(made))  # type: ignore[operator]


def test_seeds_are_averaged_drawn_or_named() -> None:
    made = table()
    query = Query(split="validation", epochs=9)
    row, generator = made.row(BEST), np.random.default_rng(0)
    own = [select(made, replace(query, seed=seed)).of(row, generator) for seed in (0, 1, 2)]
    assert len(set(own)) == 3
    assert select(made, query).of(row, generator) == pytest.approx(np.mean(own))
    drawn = {select(made, replace(query, seed="random")).of(row, generator) for _ in range(50)}
    assert drawn == set(own)


def test_an_architecture_without_a_seed_is_told_by_those_it_has() -> None:
    made = table()
    values = made.values.copy()
    series = select(made, Query(split="validation", epochs=9))
    rows = [made.columns.index(replace(series.column, seed=seed)) for seed in (0, 1, 2)]
    values[rows[:2], 5] = np.nan
    values[rows, 6] = np.nan
    part = replace(made, values=values)
    found = select(part, Query(split="validation", epochs=9))
    assert found.mean[5] == found.first[5] == made.values[rows[2], 5]
    assert found.mean[7] == series.mean[7]
    assert found.first[7] == made.values[rows[0], 7]
    assert np.flatnonzero(~found.known).tolist() == [6]
    assert np.isnan(found.mean[6])
    drawn = select(part, Query(split="validation", epochs=9, seed="random"))
    assert {drawn.of(5, np.random.default_rng(seed)) for seed in range(9)} == {found.mean[5]}
    with pytest.raises(QueryError, match="has no value of"):
        drawn.of(6, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query("acuracy"), "no metric 'acuracy'; it has accuracy, parameters; did you mean 'acc"),
        (Query(), "ambiguous: say split and epochs; table toy has metric=accuracy dataset=digits"),
        (Query(split="train"), "no accuracy with split train; it has validation, test"),
        (Query(split="test", epochs=2), "with epochs 2; it has 1, 3, 9"),
        (Query(split="test", epochs=0), "epochs must be at least 1, got 0"),
        (Query(split="test", epochs=9, seed=7), "no seed 7 of .*; it has seeds 0, 1, 2, mean"),
        (Query(split="test", epochs=9, seed="any"), "mean, random or a seed, got 'any'"),
        (Query("parameters", seed="random"), "it has means only"),
    ],
)
def test_a_question_with_no_or_several_answers_lists_what_there_is(query: Query, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        select(table(), query)


def test_what_leaves_no_choice_need_not_be_said() -> None:
    made = table()
    assert select(made, Query("parameters")).mean[made.row(BEST)] == 108
    assert select(made, Query(split="test", epochs=1)).column.dataset == "digits"


def test_a_written_table_reads_back(tmp_path: Path) -> None:
    made = table()
    found = read_table(write_table(made, tmp_path, {"made": "by hand"}))
    assert (found.codes == made.codes).all()
    assert found.columns == made.columns
    assert found.space == made.space
    np.testing.assert_allclose(found.values, made.values, rtol=1e-6)
    assert found.seconds is not None
    assert provenance(tmp_path / "toy.json") == {"made": "by hand"}


def damage(folder: Path, how: str) -> None:
    numbers, record = folder / "toy.npz", folder / "toy.json"
    raw = numbers.read_bytes()
    if how == "missing":
        numbers.unlink()
    elif how == "truncated":
        numbers.write_bytes(raw[: len(raw) // 2])
    elif how == "altered":
        numbers.write_bytes(raw[:500] + b"x" + raw[501:])
    elif how == "json":
        record.write_text(record.read_text().replace('"columns"', '"colums"'))
    elif how == "schema":
        record.write_text(record.read_text().replace('"schema": 1', '"schema": 9'))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "toy.npz"),
        ("truncated", "toy.npz was altered or cut"),
        ("altered", "toy.npz was altered or cut"),
        ("json", "toy.json is no table of ours"),
        ("schema", "has schema 9; this version reads 1"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, how: str, said: str) -> None:
    path = write_table(table(), tmp_path, {})
    damage(tmp_path, how)
    with pytest.raises(NasError, match=said):
        read_table(path)


def test_tables_compare_by_identity() -> None:
    made: Table = table()
    assert made != table()
