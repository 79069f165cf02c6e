"""``nas derive``: the genotype of a search from its last checkpoint, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nas import console
from nas.cli.look import Look
from nas.errors import NasError
from nas.genotype import load, save
from nas.store.folder import RunFolder, resolve

if TYPE_CHECKING:
    from nas.app.derived import Derived


def look(line: Look) -> int:
    """``nas derive [RUN] [out=FILE]``."""
    from nas.app.derived import derived

    folder = resolve(line.word(0, "latest"), line.runs)
    console.configure(json=line.json)  # scoring paths shows how far it is
    try:
        found = derived(folder, line.plugins)
    finally:
        console.configure()
    out = line.settings.get("out", "")
    path = save(Path(out).expanduser(), found.file) if out else None
    cells = _cells(found)
    if line.json:
        console.emit(
            {
                "run": folder.path,
                "epochs": found.epochs,
                "of": found.total,
                "steps": found.steps,
                "genotype": msgspec.to_builtins(found.file),
                "derivation": found.sentence or None,
                "same_as_run": _same(folder, found),
                "cells": cells,
                "out": path,
            }
        )
        return 0
    rows = [("run", str(folder.path)), ("after", _after(found)), ("id", found.file.id)]
    rows += [("derivation", found.sentence)] if found.sentence else []
    rows += [(f"predicted {name}", f"{value:,.0f}") for name, value in found.file.predicted.items()]
    same = _same(folder, found)
    if same is not None:
        rows.append(("genotype.json", "the same genotype" if same else "another genotype"))
    console.table([*rows, *([("wrote", str(path))] if path else [])])
    for text in cells.values():
        console.say()
        console.say(text)
    console.say()
    console.say(f"next  {_next(line, found, path)}")
    return 0


def _after(found: Derived) -> str:
    return f"{found.epochs} of {found.total} epochs, {found.steps} steps"


def _cells(found: Derived) -> dict[str, str]:
    from nas.analysis.cells import cells_of
    from nas.analysis.text import cell_text

    if found.graph is None:
        return {}
    return {cell: cell_text(found.graph, cell) for cell in cells_of(found.graph)}


def _same(folder: RunFolder, found: Derived) -> bool | None:
    """Whether the run's own genotype file holds this one; None where there is no good file."""
    try:
        return load(folder.genotype).id == found.file.id
    except NasError:
        return None


def _next(line: Look, found: Derived, path: Path | None) -> str:
    if path is None:
        return f"nas derive {line.word(0, 'latest')} out=now.json"
    return f"nas retrain {path} space={found.file.space.name} · nas show {path}"
