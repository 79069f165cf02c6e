from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.store.folder import RunFolder
from nas.store.record import Record

RESULT = {
    "metric": "iou",
    "higher_is_better": True,
    "strategy": "darts",
    "data": "digits",
    "experiment": "",
    "search": {"seconds": 10},
    "networks": [
        {"name": "random-0", "test": {"iou": 0.1}, "seconds": 2.5},
        {
            "name": "found",
            "validation": {"iou": 0.5},
            "test": {"iou": 0.25, "loss": 3.0},
            "parameters": 12,
            "macs": True,
            "seconds": 2,
        },
    ],
}


def record(folder: Path, **files: Any) -> Record:
    run = RunFolder.create(folder)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return Record(run)


def test_a_result_is_read_by_its_own_metric(tmp_path: Path) -> None:
    found = record(tmp_path, result=RESULT)
    assert (found.metric, found.higher_is_better) == ("iou", True)
    assert (found.figure("test"), found.figure("validation")) == (0.25, 0.5)
    assert (found.count("parameters"), found.count("macs")) == (12.0, None)
    assert (found.search_seconds, found.seconds) == (10.0, 14.5)
    assert found.choices == {"strategy": "darts", "data": "digits"}


def test_choices_are_those_of_the_command_where_they_are_recorded(tmp_path: Path) -> None:
    env = {"choices": {"strategy": "gdas", "optim": "default"}}
    assert record(tmp_path, result=RESULT, env=env).choices == env["choices"]


def test_settings_are_read_by_their_names(tmp_path: Path) -> None:
    found = record(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 3\nspace: {cells: 4}\n")
    assert found.settings == {"seed": 3, "space.cells": 4}


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"networks": 3, "search": 4}'])
def test_what_is_damaged_is_empty(tmp_path: Path, text: str) -> None:
    found = record(tmp_path, result=text, env=text)
    (tmp_path / "config.yaml").write_text("{")
    assert (found.metric, found.settings, found.choices, found.found) == ("", {}, {}, {})
    assert (found.figure("test"), found.search_seconds, found.seconds) == (None, None, None)
    assert found.status.state == "unknown"
