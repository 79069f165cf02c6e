"""``nas show``: a run's closing table and its cells in words, or the cells of a genotype file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from nas import console
from nas.analysis.summary import final_rows
from nas.cli.ls import read_result
from nas.cli.paths import config_dir
from nas.dataspec import DataSpec
from nas.errors import GenotypeError, NasError
from nas.genotype import GenotypeFile, check_space, load
from nas.runs.folder import RunFolder, resolve

if TYPE_CHECKING:
    from nas.data import ArrayData
    from nas.space import SearchSpace

# A space asks for the data's shape; what is drawn does not depend on it.
_ANY_DATA = DataSpec(input_shape=(3, 32, 32), kind="classes", outputs=10)


def show(word: str, *, json: bool, runs: str = "runs") -> int:
    """Show a run (``latest``, a folder, a part of its name) or a genotype file; return the status.

    Raises:
        NasError: there is no such run or file, or the file is damaged.
    """
    path = Path(word).expanduser()
    if path.suffix == ".json" and not path.is_dir():
        return _show_genotype(path, json=json)
    return _show_run(resolve(word, runs), json=json)


def _show_run(folder: RunFolder, *, json: bool) -> int:
    status, result = folder.status(), read_result(folder)
    file = load(folder.genotype) if folder.genotype.is_file() else None
    cells, reason = ({}, "") if file is None else cells_text(file, folder.config)
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
        console.say(f"next  nas retrain {folder.path} seed=1")
    else:
        console.say("next  the command that began this run goes on from its last checkpoint")
    return 0


def _show_genotype(path: Path, *, json: bool) -> int:
    file = load(path)
    cells, reason = cells_text(file, path.parent / "config.yaml")
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
    console.say(f"next  nas retrain {path}")
    return 0


def _say_cells(cells: dict[str, str], reason: str) -> None:
    for text in cells.values():
        console.say()
        console.say(text)
    if reason:
        console.say()
        console.say(f"the cells are not shown: {reason}")


def cells_text(file: GenotypeFile, config: Path) -> tuple[dict[str, str], str]:
    """Return each cell in words, by name; and, where there are none, why not.

    Args:
        file: the genotype.
        config: the ``config.yaml`` of its run, which need not exist.
    """
    from nas.analysis.cells import cells_of
    from nas.analysis.text import cell_text
    from nas.app.pictures import graph_of
    from nas.space import check_genotype, fingerprint, name_of

    try:
        space = space_of(file, config)
        check_space(file, name_of(space), fingerprint(space))
        graph = graph_of(space, check_genotype(space, file.choices))
    except NasError as error:
        return {}, str(error)
    if graph is None:
        return {}, f"space {file.space.name} draws none"
    return {cell: cell_text(graph, cell) for cell in cells_of(graph)}, ""


def space_of(file: GenotypeFile, config: Path) -> SearchSpace:
    """Build the space of a genotype file from the arguments in the file.

    The class is named by the run's ``config.yaml`` or by the shipped config of that name. Only our
    own packages may be loaded, whatever the files say.

    Raises:
        NasError: no config names the class, or it is not ours.
    """
    from omegaconf import OmegaConf

    from nas.build import Parts

    target = _target_in(config, "space") or _target_in(
        config_dir() / "space" / f"{file.space.name}.yaml"
    )
    if not target:
        raise GenotypeError(f"no config says which class space {file.space.name!r} is")
    cfg = OmegaConf.create({"space": {"_target_": target, **file.space.args}, "plugins": []})
    return Parts(cfg, cast("ArrayData", SimpleNamespace(spec=_ANY_DATA))).space


def _target_in(config: Path, *group: str) -> str:
    from omegaconf import OmegaConf

    if not config.is_file():
        return ""
    try:
        node: Any = OmegaConf.to_container(OmegaConf.load(config), resolve=False)
        for key in group:
            node = node[key]
        return str(node.get("_target_", ""))
    except Exception:  # a damaged config: the shipped one may still know the space
        return ""
