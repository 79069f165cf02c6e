"""A table of measured times: what each unit of a blueprint takes on a device, with calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.costs.units import Key, Unit, fingerprint_of
from nas.errors import ConfigError, NasError
from nas.files import PathText, read_json, write_json

SCHEMA = "nas.latency/1"
HERE = "here"  # measured by this program on the machine it ran on


@dataclass(frozen=True)
class Row:
    """The time of one unit in ms per forward pass: median and quartiles."""

    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Whole networks take ``intercept`` (ms) plus ``factor`` times the sum of their units.

    Attributes:
        networks: how many whole networks it was fitted to; 0 where nothing was fitted.
    """

    intercept: float = 0.0
    factor: float = 1.0
    networks: int = 0


@dataclass(frozen=True)
class LatencyTable:
    """Times of the units of one blueprint on one device.

    Attributes:
        space: name, fingerprint, blueprint (fingerprint of its units), input_shape, args.
        device: name and source (``here``, ``csv`` or ``callable``); of one that was measured here
            also cpu, os, threads, torch, backend, execution, dtype, date; batch.
        rows: by place and candidate.
        calibration: from the sum of rows to whole networks.
        about: everything else worth keeping, such as errors and the version of the code.
    """

    space: Mapping[str, Any]
    device: Mapping[str, Any]
    rows: Mapping[Key, Row]
    calibration: Calibration = Calibration()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The device's."""
        return str(self.device["name"])


def record_of(table: LatencyTable, found: Sequence[Unit]) -> dict[str, Any]:
    """The content of ``latency.json``; ``found`` are the units that the rows belong to."""
    rows: dict[str, list[dict[str, Any]]] = {"fixed": [], "candidates": []}
    for unit in found:
        row = table.rows[unit.key]
        named = {"candidate": unit.candidate, "decision": unit.decision} if unit.candidate else {}
        facts = {"operation": unit.operation, "inputs": [list(map(list, c)) for c in unit.calls]}
        times = {"ms": row.ms, "low": row.low, "high": row.high}
        rows["candidates" if named else "fixed"].append(
            {"place": unit.place, **named, **times, **facts}
        )
    fitted = table.calibration
    return {
        "schema": SCHEMA,
        "space": dict(table.space),
        "device": dict(table.device),
        "calibration": {
            "intercept_ms": fitted.intercept,
            "factor": fitted.factor,
            "networks": fitted.networks,
        },
        **table.about,
        **rows,
    }


def write_latency(path: PathText, table: LatencyTable, found: Sequence[Unit]) -> None:
    """Write ``latency.json`` atomically."""
    write_json(path, record_of(table, found))


def read_latency(path: PathText) -> LatencyTable:
    """The table in a file.

    Raises:
        NasError: the file is missing, damaged, or no table of latencies, with the remedy.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise NasError(
            f"{path} is no table of latencies ({SCHEMA}) but {found!r}; name the latency.json of "
            "nas profile"
        )
    try:
        return _table(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NasError(
            f"{path} is damaged ({type(error).__name__}: {error}); make it again by nas profile"
        ) from error


def _table(record: Mapping[str, Any]) -> LatencyTable:
    space, device, fitted = record["space"], record["device"], record["calibration"]
    for known, names in (
        (space, ("name", "fingerprint", "blueprint", "input_shape")),
        (device, ("name", "source", "batch")),
    ):
        missing = [name for name in names if name not in known]
        if missing:
            raise KeyError(missing[0])
    rows = {
        (str(row["place"]), str(row.get("candidate", ""))): Row(
            _time(row["ms"]), _time(row["low"]), _time(row["high"])
        )
        for row in (*record["fixed"], *record["candidates"])
    }
    calibration = Calibration(
        _time(fitted["intercept_ms"]), _time(fitted["factor"]), int(fitted["networks"])
    )
    kept = ("schema", "space", "device", "calibration", "fixed", "candidates")
    about = {name: value for name, value in record.items() if name not in kept}
    return LatencyTable(dict(space), dict(device), rows, calibration, about)


def _time(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"a time of {value!r} ms")
    return number


def check_table(
    table: LatencyTable,
    found: Sequence[Unit],
    input_shape: Sequence[int],
    fingerprint: str,
    where: str,
) -> None:
    """Raise ConfigError unless the table was measured on this blueprint.

    Args:
        table: from the file ``where``.
        found: the units of the blueprint that the run derives from.
        input_shape: of the run's data.
        fingerprint: of the run's space (``nas.space.fingerprint``).
        where: the file, for the sentence.
    """
    name, remedy = table.space["name"], "profile this one by nas profile, or name its table"
    if table.space["fingerprint"] != fingerprint:
        raise ConfigError(f"{where} is of another space, {name}, or other candidates; {remedy}")
    shape = list(map(int, table.space["input_shape"]))
    if shape != list(input_shape):
        texts = ["x".join(map(str, each)) for each in (shape, input_shape)]
        raise ConfigError(
            f"{where} was measured on inputs of {texts[0]}, this run's are {texts[1]}; {remedy}"
        )
    if table.space["blueprint"] != fingerprint_of(found):
        raise ConfigError(
            f"{where} was measured on other widths, cells or operations of space {name}; give the "
            f"settings that it was made with (preset=, space.*), or {remedy}"
        )
    lacking = [unit.key for unit in found if unit.key not in table.rows]
    if lacking:
        raise NasError(
            f"{where} is damaged: it has no row for {' '.join(lacking[0]).strip()}; "
            "make it again by nas profile"
        )
