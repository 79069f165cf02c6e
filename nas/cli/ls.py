"""``nas ls``: the runs under a folder, the last updated first, with their state and result."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas import console
from nas.analysis.summary import millions, number, percent
from nas.errors import ConfigError, NasError
from nas.files import read_json
from nas.runs.folder import RunFolder, Status, runs

_COLUMNS = ("run", "state", "test %", "parameters", "MACs", "updated")
_COPIED = ("experiment", "space", "strategy", "data", "seed", "preset", "genotype_id")


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
        console.table((_cells(row) for row in found), _COLUMNS)
        console.say()
        console.say(f"next  nas show {found[0]['folder']}")
    return 0


def rows(root: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return one dict per run under ``root`` (the folder of all runs, or of one experiment).

    It holds the folder, the state, the times, what was run, and the found network's test accuracy
    (0 to 1), parameters and MACs; what is not known, or damaged, is None.
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
    row["test_accuracy"] = number(network, "test", "accuracy")
    return row


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


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    accuracy = row["test_accuracy"]
    return (
        row["name"],
        row["state"],
        "" if accuracy is None else percent(accuracy).removesuffix(" %"),
        *("" if count is None else millions(count) for count in (row["parameters"], row["macs"])),
        row["updated"][:16].replace("T", " "),
    )
