"""The folder of a sweep, ``<runs>/_sweeps/<hash6>``: its table of jobs in two forms."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from nas.errors import NasError
from nas.files import read_bytes, write_atomic
from nas.store.folder import RunFolder, latest_of
from nas.store.identity import RUNTIME_KEYS, canonical_json
from nas.store.pointer import LATEST, SWEEPS, point_latest, pointed_at

WAITING = "waiting"
"""The state of a job that has not begun; the other states are those of a run."""


@dataclass(frozen=True)
class Row:
    """One job of a sweep; what is not known is empty or None, ``seconds`` are those of training."""

    overrides: str = ""
    folder: str = ""
    state: str = WAITING
    metric: str = ""
    validation: float | None = None
    test: float | None = None
    parameters: float | None = None
    macs: float | None = None
    seconds: float | None = None
    message: str = ""


_NAMES = tuple(field.name for field in fields(Row))
_NUMBERS = ("validation", "test", "parameters", "macs", "seconds")


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder and the places in it."""

    path: Path

    @property
    def csv(self) -> Path:
        """One line per job, for programs."""
        return self.path / "summary.csv"

    @property
    def markdown(self) -> Path:
        """The same for people."""
        return self.path / "summary.md"

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.path.parent.parent

    def is_sweep(self) -> bool:
        """Tell whether a sweep has left its table here."""
        return self.csv.is_file()

    def point_latest(self) -> bool:
        """Let ``<runs>/latest`` lead here; False if that is a user's own file, left alone."""
        return point_latest(self.runs, self.path)

    def write(self, rows: Sequence[Row]) -> None:
        """Write both forms of the table, each of them whole or not at all."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _text(v) for k, v in asdict(row).items()} for row in rows)
        write_atomic(self.csv, text.getvalue())
        write_atomic(self.markdown, _markdown(self.path.name, rows))

    def read(self) -> list[Row]:
        """Return the table; NasError naming the file where it is damaged."""
        text = read_bytes(self.csv).decode(errors="replace")
        lines = csv.DictReader(io.StringIO(text), strict=True)
        try:
            if tuple(lines.fieldnames or ()) != _NAMES:
                raise ValueError("another head")
            return [_row(line) for line in lines]
        except (csv.Error, TypeError, ValueError):
            raise NasError(
                f"{self.csv} is damaged: the sweep's command, given again, writes it anew"
            ) from None

    def folders(self) -> list[RunFolder]:
        """Return the folders of the jobs that have one, as seen from where the user is."""
        return [RunFolder(self.runs / row.folder) for row in self.read() if row.folder]


def sweep_id(verb: str, jobs: Iterable[Collection[str]]) -> str:
    """Return the six hex digits that name a sweep: over its verb and the set of its jobs.

    Neither the order of the jobs nor that of the settings in one matters, nor settings that say
    how a job is run and not what it computes: the same jobs are the same sweep.
    """
    kept = {tuple(sorted(text for text in job if not _of_runtime(text))) for job in jobs}
    identity = canonical_json([verb, sorted(kept)])
    return hashlib.sha256(identity.encode()).hexdigest()[:6]


def find(text: str, root: str | os.PathLike[str]) -> SweepFolder | None:
    """Return the sweep that ``text`` names, or None if it is none.

    ``text`` is ``latest``, a path, ``_sweeps/<hash6>`` or the six digits alone.
    """
    base = Path(root)
    places = [Path(text).expanduser(), base / text]
    if re.fullmatch("[0-9a-f]{6}", text):
        places.append(base / SWEEPS / text)
    if text == LATEST:
        places = [latest_of(base)]
    for place in places:
        sweep = SweepFolder(pointed_at(place) or place)
        if text and sweep.is_sweep():
            return sweep
    return None


def inside(folder: RunFolder, runs: Path) -> str:
    """Return the path of a run's folder as seen from the folder of all runs."""
    return Path(os.path.relpath(folder.path, runs)).as_posix()


def job_row(overrides: str, folder: RunFolder, root: Path) -> Row:
    """Return the row of a job from the files that its run has left by now."""
    from nas.store.record import Record

    if not folder.is_run():
        return Row(overrides)
    record = Record(folder)
    return Row(
        overrides,
        inside(folder, root),
        record.status.state,
        record.metric,
        record.figure("validation"),
        record.figure("test"),
        record.count("parameters"),
        record.count("macs"),
        record.seconds,
        record.status.message,
    )


def renewed(sweep: SweepFolder) -> list[Row]:
    """Return the table as the runs' files say it now.

    Jobs without a run stay as they were; one that was running when its sweep was killed is
    interrupted.
    """
    stopped = not RunFolder(sweep.path).held()
    rows = []
    for row in sweep.read():
        run = RunFolder(sweep.runs / row.folder)
        if row.folder and run.is_run():
            now = job_row(row.overrides, run, sweep.runs)
            row = replace(now, message=now.message or row.message * (now.state == row.state))
        elif row.state == "running" and stopped:
            row = replace(row, state="interrupted")
        rows.append(row)
    return rows


def _of_runtime(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    return re.split(r"[./@]", key)[0] in RUNTIME_KEYS


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return "" if value is None else str(value)


def _row(line: dict[str, str]) -> Row:
    values = {name: line[name] for name in _NAMES}
    if None in values.values() or len(line) != len(values):
        raise ValueError("a line is too short or too long")
    numbers = {name: float(values[name]) if values[name] else None for name in _NUMBERS}
    return Row(**{**values, **numbers})  # type: ignore[arg-type]


def _markdown(name: str, rows: Sequence[Row]) -> str:
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    lines = [
        f"# Sweep {name}",
        "",
        f"{len(rows)} jobs: {counted}. Seconds are those of searching and retraining.",
        "",
        f"| {' | '.join(_NAMES)} |",
        f"|{'|'.join('---:' if column in _NUMBERS else '---' for column in _NAMES)}|",
    ]
    lines += [f"| {' | '.join(_cell(value) for value in asdict(row).values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
    return " ".join(_text(value).replace("|", "\\|").split())
