"""``nas show``: a run's closing table and its cells in words, or the cells of a genotype file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from nas import console
from nas.analysis.summary import final_rows
from nas.cli.look import Look
from nas.cli.ls import read_result
from nas.errors import NasError
from nas.genotype import GenotypeFile, check_space, load
from nas.plugins import words
from nas.store.folder import RunFolder, resolve
from nas.store.sweep import find, renewed


def look(line: Look) -> int:
    """``nas show [RUN | SWEEP | FILE.json]``."""
    word = line.word(0, "latest")
    sweep = find(word, line.runs)
    if sweep is not None:
        from nas.app.sweep_table import tell

        tell(sweep, renewed(sweep), json=line.json)
        return 0
    return show(word, json=line.json, runs=line.runs, plugins=line.plugins)


def show(word: str, *, json: bool, runs: str = "runs", plugins: Sequence[str] = ()) -> int:
    """Show a run (``latest``, a folder, a part of its name) or a genotype file; return the status.

    Raises:
        NasError: there is no such run or file, or the file is damaged.
    """
    path = Path(word).expanduser()
    if path.suffix == ".json" and not path.is_dir():
        return _show_genotype(path, plugins, json=json)
    return _show_run(resolve(word, runs), plugins, json=json)


def _show_run(folder: RunFolder, plugins: Sequence[str], *, json: bool) -> int:
    status, result = folder.status(), read_result(folder)
    file = load(folder.genotype) if folder.genotype.is_file() else None
    cells, reason = ({}, "") if file is None else cells_text(file, folder.config, plugins)
    if json:
        console.emit(
            {
                "folder": folder.path,
                "status": asdict(status),
                "result": result or None,
                "genotype": None if file is None else msgspec.to_builtins(file),
                "pictures": sorted(folder.plots.glob("*.svg")),
                "cells": cells,
            }
        )
        return 0
    state = f"{status.state}, {status.stage}" if status.stage else status.state
    rows = [("run", str(folder.path)), ("state", state), ("message", status.message)]
    console.table([*(row for row in rows if row[1]), *final_rows(result, folder.path)])
    _say_cells(cells, reason)
    console.say()
    if status.state == "finished":
        console.say(f"next  nas retrain {folder.path} seed=1{words(plugins)}")
    else:
        console.say("next  the command that began this run goes on from its last checkpoint")
    return 0


def _show_genotype(path: Path, plugins: Sequence[str], *, json: bool) -> int:
    file = load(path)
    cells, reason = cells_text(file, path.parent / "config.yaml", plugins)
    if json:
        console.emit({"genotype": msgspec.to_builtins(file), "cells": cells})
        return 0
    rows = [("genotype", str(path)), ("id", file.id), ("space", file.space.name)]
    for title, record in (("predicted", file.predicted), ("measured", file.measured)):
        rows += [(f"{title} {key}", f"{value}") for key, value in record.items()]
    rows += [(key, str(value)) for key, value in file.provenance.items()]
    console.table(rows)
    _say_cells(cells, reason)
    console.say()
    console.say(f"next  nas retrain {path}{words(plugins)}")
    return 0


def _say_cells(cells: dict[str, str], reason: str) -> None:
    for text in cells.values():
        console.say()
        console.say(text)
    if reason:
        console.say()
        console.say(f"the cells are not shown: {reason}")


def cells_text(
    file: GenotypeFile, config: Path, plugins: Sequence[str] = ()
) -> tuple[dict[str, str], str]:
    """Return each cell in words, by name; and, where there are none, why not.

    Args:
        file: the genotype.
        config: the ``config.yaml`` of its run, which need not exist.
        plugins: modules of the user's own that may be loaded.
    """
    from nas.analysis.cells import cells_of
    from nas.analysis.text import cell_text
    from nas.app.pictures import graph_of
    from nas.cli.known_spaces import of_file
    from nas.space import check_genotype, fingerprint, name_of

    try:
        space = of_file(file, config, plugins)
        check_space(file, name_of(space), fingerprint(space))
        graph = graph_of(space, check_genotype(space, file.choices))
    except NasError as error:
        return {}, str(error)
    if graph is None:
        return {}, f"space {file.space.name} draws none"
    return {cell: cell_text(graph, cell) for cell in cells_of(graph)}, ""
