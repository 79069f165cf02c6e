"""Times of another device: from a CSV file, or from a function of the user's own."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.costs.latency_table import Row
from nas.costs.units import Key, Unit
from nas.errors import ConfigError, NasError, nearest
from nas.files import read_bytes
from nas.profile.measure import Measured, Plan, Start, Times, times_of, work
from nas.profile.timing import Timing

Measure = Callable[[nn.Module, Tensor], float]  # module in eval mode, input -> milliseconds
COLUMNS = ("place", "candidate", "ms")
HEAD = ("place", "candidate", "decision", "inputs", "ms")
NOTHING = "write a small one such as 0.001 for what does nothing"


def template(found: Sequence[Unit]) -> str:
    """A CSV file with a row for each unit, whose column ``ms`` is to be filled in."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for unit in found:
        inputs = " ".join("+".join("x".join(map(str, s)) for s in call) for call in unit.calls)
        writer.writerow([unit.place, unit.candidate, unit.decision, inputs, ""])
    return text.getvalue()


def read_csv(path: Path, found: Sequence[Unit]) -> Times:
    """The times in a file with the columns ``place``, ``candidate`` and ``ms``.

    Raises:
        ConfigError: no such columns; an unknown, repeated or missing row; a time that is no number
            above 0; each names the row and the remedy.
        NasError: the file cannot be read.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV file in UTF-8 ({error}); save it as one") from error
    head = [name.strip() for name in lines[0]] if lines else []
    if not set(COLUMNS) <= set(head):
        raise ConfigError(
            f"{path} needs the columns {', '.join(COLUMNS)} in its first line, got "
            f"{', '.join(head) or 'nothing'}; template=FILE.csv writes a file to fill in"
        )
    places = [head.index(name) for name in COLUMNS]
    known = {unit.key for unit in found}
    rows: dict[Key, Row] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) <= max(places):
            raise ConfigError(f"{path}, line {number}: {len(line)} cells for {len(head)} columns")
        place, candidate, text = (line[i].strip() for i in places)
        where = f"{path}, line {number} ({' '.join((place, candidate)).strip()})"
        _check_row((place, candidate), known, rows, where)
        ms = _number(text, where)
        rows[place, candidate] = Row(ms, ms, ms)
    lacking = [unit.key for unit in found if unit.key not in rows]
    if lacking:
        raise ConfigError(
            f"{path} lacks {len(lacking)} of {len(known)} rows, the first "
            f"{','.join(lacking[0])}; template=FILE.csv writes all of them"
        )
    return Times(rows, [], None, 1)


def _check_row(key: Key, known: set[Key], rows: Mapping[Key, Row], where: str) -> None:
    if key not in known:
        names = [",".join(each) for each in known]
        raise ConfigError(
            f"{where}: this space has no such place and candidate{nearest(','.join(key), names)}; "
            "template=FILE.csv writes all that it has"
        )
    if key in rows:
        raise ConfigError(f"{where}: a second time for it; leave one of the two out")


def _number(text: str, where: str) -> float:
    try:
        ms = float(text)
    except ValueError:
        ms = math.nan
    return _checked(ms, repr(text), where)


def _checked(ms: float, text: str, where: str) -> float:
    if not (math.isfinite(ms) and ms > 0):
        raise ConfigError(
            f"{where}: a time is a finite number of milliseconds above 0, got {text}; {NOTHING}"
        )
    return ms


def ask(plan: Plan, measure: Measure, name: str, seed: int, start: Start) -> Times:
    """The times that a function gives for every operation and every whole network.

    Args:
        plan: what.
        measure: gets a module in eval mode and an input (batch, ...), returns milliseconds.
        name: the function's, for sentences.
        seed: of weights and inputs.
        start: told how many steps there are.

    Raises:
        NasError: the function raised something.
        ConfigError: it returned something else than a finite number above 0.
    """
    generator = torch.Generator().manual_seed(seed)
    rows: dict[Measured, Row] = {}
    names = {
        (u.operation, call): f"{u.place} {u.candidate}".strip()
        for u in plan.found
        for call in u.calls
    }
    tell = start(len(plan.pairs) + len(plan.networks), "measure")
    with torch.no_grad():
        for key, module, example in work(plan, generator):
            label = f"network {key + 1}" if isinstance(key, int) else names[key]
            where = f"{name} for {label}"
            try:
                value = measure(module, example)
            except Exception as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise NasError(f"{where} raised {reason}; NAS_DEBUG=1 shows where") from error
            number = isinstance(value, int | float) and not isinstance(value, bool)
            ms = _checked(float(value) if number else math.nan, repr(value), where)
            rows[key] = Row(ms, ms, ms)
            tell()
    return times_of(plan, Timing(rows, None, 1))
