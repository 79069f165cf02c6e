"""Times of another device: files and functions, good ones and every mistake in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from nas.costs import count_parameters
from nas.errors import NasError
from nas.profile.given import ask, read_csv, template
from tests.nas.profile.test_measure import plan_of, silent


def file_of(folder: Path, change: Callable[[list[str]], list[str]] = lambda lines: lines) -> Path:
    """A filled-in template; the row of line n says n ms."""
    head, *rows = template(plan_of().found).splitlines()
    lines = [head, *(f"{row}{number}" for number, row in enumerate(rows, start=2))]
    file = folder / "phone.csv"
    file.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    return file


def test_a_filled_in_template_is_read_back(tmp_path: Path) -> None:
    found = plan_of().found
    times = read_csv(file_of(tmp_path), found)
    assert [times.rows[unit.key].ms for unit in found] == [2.0 + i for i in range(len(found))]
    assert (list(times.networks), times.drift) == ([], None)


def replaced(old: str, new: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [line.replace(old, new) for line in lines]


BAD: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "no columns": (lambda lines: lines[1:], "needs the columns place, candidate, ms"),
    "empty": (lambda lines: [], "needs the columns .* got nothing; template="),
    "missing row": (lambda lines: lines[:-2], "lacks 2 of 26 rows, the first classifier"),
    "unknown row": (replaced("stem,", "stam,"), r"line 2 \(stam\): .* did you mean 'stem,'"),
    "twice": (lambda lines: [*lines, lines[1]], r"line 28 \(stem\): a second time for it"),
    "negative": (replaced(",2x8x8,3", ",2x8x8,-3"), r"line 3 \(layers.0 skip_connect\): .*'-3'"),
    "zero": (replaced(",2x8x8,3", ",2x8x8,0"), "above 0, got '0.*small one such as 0.001"),
    "infinite": (replaced(",2x8x8,3", ",2x8x8,inf"), "finite number of milliseconds"),
    "no number": (replaced(",2x8x8,3", ",2x8x8,fast"), "got 'fast"),
    "short": (lambda lines: [*lines, "stem"], "line 28: 1 cells for 5 columns"),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD.keys())
def test_a_mistake_in_a_file_is_told_with_its_row(
    tmp_path: Path, change: Callable[[list[str]], list[str]], told: str
) -> None:
    with pytest.raises(NasError, match=told):
        read_csv(file_of(tmp_path, change), plan_of().found)


def test_a_file_that_is_absent_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="there is no such file"):
        read_csv(tmp_path / "none.csv", plan_of().found)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NasError, match="is no CSV file in UTF-8"):
        read_csv(tmp_path / "binary.csv", plan_of().found)


def test_a_function_is_asked_for_every_operation_and_network() -> None:
    plan = plan_of(batch=3)
    asked: list[int] = []

    def measured(module: nn.Module, example: Tensor) -> float:
        asked.append(len(example))
        return 1 + count_parameters(module)

    times = ask(plan, measured, "lab.measured", 0, silent)
    assert asked == [3] * (len(plan.pairs) + 2)
    for unit in plan.found:
        assert times.rows[unit.key].ms == len(unit.calls) * (1 + count_parameters(unit.module))
    assert [row.ms for row in times.networks] == [1 + count_parameters(n) for n in plan.networks]


def raising(module: nn.Module, example: Tensor) -> float:
    raise OSError("no such\nphone")


FAULTS: dict[str, tuple[Any, str]] = {
    "raises": (raising, "lab.f for stem raised OSError: no such phone"),
    "zero": (lambda module, example: 0.0, "lab.f for stem: .* above 0, got 0.0"),
    "nan": (lambda module, example: float("nan"), "got nan"),
    "nothing": (lambda module, example: None, "got None"),
}


@pytest.mark.parametrize(("function", "told"), FAULTS.values(), ids=FAULTS.keys())
def test_a_function_that_gives_no_time_is_told(function: Any, told: str) -> None:
    with pytest.raises(NasError, match=told):
        ask(plan_of(), function, "lab.f", 0, silent)
