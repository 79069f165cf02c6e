"""``nas ls``: the runs under a folder, the last updated first, with their state and result."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas import console
from nas.analysis.summary import (
    ACCURACY,
    figure,
    in_words,
    is_share,
    metric_of,
    millions,
    number,
)
from nas.cli.look import Look
from nas.errors import ConfigError, NasError
from nas.files import read_json
from nas.store.folder import RunFolder, Status, runs

_COPIED = ("experiment", "space", "strategy", "data", "seed", "preset", "genotype_id")


def look(line: Look) -> int:
    """``nas ls [FOLDER]``."""
    return ls(line.word(0, line.runs), json=line.json)


def ls(folder: str, *, json: bool) -> int:
    """Print the runs under ``folder`` as a table or as JSON; return the exit status.

    Raises:
        ConfigError: a folder was named that does not exist.
    """
    root = Path(folder).expanduser()
    if folder != "runs" and not root.is_dir():
        raise ConfigError(f"there is no folder {folder!r}; 'nas ls' lists everything under runs/")
    found = rows(root)
    if json:
        console.emit(found)
    elif not found:
        console.say(f"no runs under {root}; 'nas search' makes the first one")
    else:
        metrics = {row["metric"] for row in found if row["metric"]} or {ACCURACY}
        common = metrics.pop() if len(metrics) == 1 else ""
        head = ("run", "state", _test_head(common), "parameters", "MACs", "updated")
        console.table((_cells(row, common) for row in found), head)
        console.say()
        console.say(f"next  nas show {found[0]['folder']}")
    return 0


def rows(root: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return one dict per run under ``root`` (the folder of all runs, or of one experiment).

    It holds the folder, the state, the times, what was run, and the found network's parameters,
    MACs and value (``test``) of the task's ``metric`` on the test split; ``test_accuracy`` is that
    value where the metric is the accuracy. What is not known, or damaged, is None.
    """
    folder = Path(root)
    found = runs(folder) or [run for run in runs(folder.parent) if run[0].path.parent == folder]
    return [_row(run, status) for run, status in found]


def _row(run: RunFolder, status: Status) -> dict[str, Any]:
    row: dict[str, Any] = {"folder": str(run.path), "name": run.label, **asdict(status)}
    result = read_result(run)
    network = found_network(result)
    row |= {key: result.get(key) for key in _COPIED}
    row |= {key: number(network, key) for key in ("parameters", "macs")}
    metric = metric_of(result)
    value = number(network, "test", metric)
    row["test_accuracy"] = value if metric == ACCURACY else None
    return row | {"metric": metric if result else None, "test": value}


def read_result(run: RunFolder) -> dict[str, Any]:
    """Return the content of a run's ``result.json``; empty where it is missing or damaged."""
    try:
        result = read_json(run.result) if run.result.is_file() else {}
    except NasError:
        return {}
    return result if isinstance(result, dict) else {}


def found_network(result: dict[str, Any]) -> dict[str, Any]:
    """Return the found network's part of a result; empty where it was not retrained."""
    networks = result.get("networks")
    listed = (
        [net for net in networks if isinstance(net, dict)] if isinstance(networks, list) else []
    )
    return next((net for net in listed if net.get("name") == "found"), {})


def _cells(row: dict[str, Any], common: str) -> tuple[str, ...]:
    return (
        row["name"],
        row["state"],
        "" if row["test"] is None else _test_cell(row["metric"], row["test"], common),
        *("" if count is None else millions(count) for count in (row["parameters"], row["macs"])),
        row["updated"][:16].replace("T", " "),
    )


def _test_head(common: str) -> str:
    """The head of the column of test values: a metric that all runs have is named there once."""
    if is_share(common):
        return "test %" if common == ACCURACY else f"test {in_words(common)} %"
    return f"test {in_words(common)}".rstrip()


def _test_cell(metric: str, value: float, common: str) -> str:
    if common:
        return figure(metric, value).removesuffix(" %")
    return f"{in_words(metric)} {figure(metric, value)}"
