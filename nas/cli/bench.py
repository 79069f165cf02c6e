"""``nas bench list``, ``query ARCHITECTURE`` and ``proxies``: tables without a search."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas import console
from nas.benchmarks import Query, Table
from nas.benchmarks.query import MEAN, select
from nas.benchmarks.registry import TABLES, load
from nas.cli.look import Look
from nas.errors import ConfigError


def look(line: Look) -> int:
    """``nas bench list``, ``nas bench query ARCHITECTURE`` or ``nas bench proxies``."""
    root = Path(line.settings.get("root") or os.environ.get("NAS_DATA_DIR") or "data").expanduser()
    if line.word(0) == "list":
        if line.word(1):
            raise ConfigError(f"unexpected {line.word(1)!r}; nas bench list takes no name")
        return _list(root, json=line.json)
    if line.word(0) == "proxies":
        from nas.cli.bench_proxies import proxies

        return proxies(line, root)
    if not line.word(1):
        raise ConfigError("nas bench query needs an architecture, such as chain:20302")
    return _query(line, root)


def _list(root: Path, *, json: bool) -> int:
    rows = [
        {"table": name, "title": entry.title, "missing": entry.missing(root)}
        for name, entry in TABLES.items()
    ]
    if json:
        console.emit(rows)
        return 0
    states = (
        f"lacks {', '.join(map(str, row['missing']))}" if row["missing"] else "ready"
        for row in rows
    )
    cells = zip((row["table"] for row in rows), (row["title"] for row in rows), states, strict=True)
    console.table(cells, ("table", "what", f"in {root}"))
    console.say()
    console.say("next    nas bench run · nas bench query chain:20302")
    return 0


def _query(line: Look, root: Path) -> int:
    from nas.cli.table_genotype import choices_of

    table = load(line.settings.get("table", "chain"), root)
    choices = choices_of(line, table.space)
    row = table.row(choices)
    found = [
        {**asdict(column), "value": value}
        for column, value in zip(table.columns, table.values[:, row].tolist(), strict=True)
        if not math.isnan(value) and _asked(line, asdict(column))
    ]
    if not found:
        _refuse(line, table)
    if line.json:
        console.emit({"table": table.name, "genotype": choices, "values": found})
        return 0
    heads = ("metric", "dataset", "split", "epochs", "seed", "value")
    cells = ([_cell(entry[head]) for head in heads] for entry in found)
    console.table(cells, heads)
    return 0


def _asked(line: Look, column: dict[str, Any]) -> bool:
    wanted = {name: line.settings.get(name) for name in ("metric", "dataset", "split", "epochs")}
    return all(value is None or str(column[name]) == value for name, value in wanted.items())


def _refuse(line: Look, table: Table) -> None:
    """Raise the error that says what the table has instead."""
    epochs = line.settings.get("epochs")
    if epochs is not None and not epochs.isdecimal():
        raise ConfigError(f"epochs must be a whole number, got {epochs!r}")
    metric = line.settings.get("metric", table.metrics()[0])
    dataset, split = line.settings.get("dataset"), line.settings.get("split")
    select(table, Query(metric, dataset, split, None if epochs is None else int(epochs), MEAN))
    raise ConfigError(f"table {table.name} was not measured there for this architecture")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
