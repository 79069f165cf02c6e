from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import NasError
from nas.store.metrics import MetricsFile

ROWS = [{"stage": "search", "epoch": n, "metrics": {"loss/weights": n / 2}} for n in range(3)]


def written(path: Path) -> MetricsFile:
    metrics = MetricsFile(path)
    for row in ROWS:
        metrics.append(row)
    return metrics


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    metrics = written(tmp_path / "metrics.jsonl")
    assert metrics.read() == ROWS
    assert metrics.size == metrics.path.stat().st_size
    assert len(metrics.path.read_text().splitlines()) == 3


def test_an_absent_file_is_empty(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    assert (metrics.size, metrics.read()) == (0, [])
    metrics.truncate_to(0)
    assert not metrics.path.exists()


def test_numbers_of_torch_and_numpy_are_written_and_nan_is_null(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"a": torch.tensor(0.5), "b": np.int64(3), "c": float("nan"), "class": "Größe"})
    assert metrics.read() == [{"a": 0.5, "b": 3, "c": None, "class": "Größe"}]


@given(at=st.integers(0, 3), more=st.integers(0, 3))
def test_resume_drops_the_rows_after_the_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, at: int, more: int
) -> None:
    metrics = MetricsFile(tmp_path_factory.mktemp("metrics") / "metrics.jsonl")
    for row in ROWS[:at]:
        metrics.append(row)
    size = metrics.size
    for row in ROWS[:more]:
        metrics.append({**row, "late": True})
    metrics.truncate_to(size)
    assert metrics.size == size
    metrics.append({"next": 1})
    assert metrics.read() == [*ROWS[:at], {"next": 1}]


@pytest.mark.parametrize("torn", [b'{"epoch": 3, "met', b'{"epoch": 3}', b"\0\0\0"])
def test_a_torn_last_line_is_passed_over_and_mended(tmp_path: Path, torn: bytes) -> None:
    path = written(tmp_path / "metrics.jsonl").path
    with path.open("ab") as file:
        file.write(torn)
    metrics = MetricsFile(path)
    assert metrics.read() == ROWS
    metrics.append({"epoch": 3})
    assert metrics.read() == [*ROWS, {"epoch": 3}]


def test_a_file_shorter_than_the_checkpoint_says_is_kept(tmp_path: Path) -> None:
    metrics = written(tmp_path / "metrics.jsonl")
    metrics.truncate_to(10_000)
    assert metrics.read() == ROWS


def test_a_cut_within_a_line_loses_that_line_only(tmp_path: Path) -> None:
    metrics = written(tmp_path / "metrics.jsonl")
    metrics.truncate_to(metrics.size - 5)
    metrics.append({"next": 1})
    assert metrics.read() == [*ROWS[:2], {"next": 1}]


@pytest.mark.parametrize("line", [b'{"epoch"', b"[1]", b"", b"\xff"])
def test_damage_elsewhere_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    metrics = written(tmp_path / "metrics.jsonl")
    lines = metrics.path.read_bytes().split(b"\n")
    lines[1] = line
    metrics.path.write_bytes(b"\n".join(lines))
    with pytest.raises(NasError, match=r"metrics\.jsonl is damaged in line 2"):
        metrics.read()
