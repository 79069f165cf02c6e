"""Genotype files of a run: written with where they come from, read back with a check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas import genotype as files
from nas.app.session import Session
from nas.build import Parts, plain
from nas.decision import Choice, Genotype
from nas.errors import GenotypeError
from nas.space import SearchSpace, check_genotype, fingerprint, name_of

MACRO = ("network_channels", "network_cells")  # repeated for people who read the file


def write_genotype(
    session: Session, choices: Genotype, path: Path, epoch: int | None = None
) -> files.GenotypeFile:
    """Write a genotype with its space, predicted costs and provenance."""
    where = {} if epoch is None else {"epoch": epoch}
    file = genotype_file(session.parts, choices, session.choices, session.hash, where)
    files.save(path, file)
    return file


def genotype_file(
    parts: Parts,
    choices: Genotype,
    groups: Mapping[str, str],
    run: str,
    where: Mapping[str, int],
) -> files.GenotypeFile:
    """The file of a genotype that a run found.

    Args:
        parts: of the run.
        choices: the genotype.
        groups: the choice of every config group.
        run: the run's own six digits.
        where: how far the run was.
    """
    settings = plain(parts.cfg)
    node = settings["space"]
    view = getattr(parts.space, "view", None)
    return files.make(
        name=name_of(parts.space),
        fingerprint=fingerprint(parts.space),
        choices=choices,
        args=_settings(node),
        compression=_settings(settings.get("compression")),
        macro={key: node[key] for key in MACRO if key in node},
        view=view(choices) if view is not None else None,
        predicted=parts.cost_of(choices),
        provenance={
            "strategy": groups.get("strategy", ""),
            "data": groups.get("data", ""),
            "seed": int(parts.cfg.seed),
            "run": run,
            **where,
        },
    )


def _settings(node: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a class is made with; nothing where none is named."""
    if not node or node.get("_target_") is None:
        return {}
    return {key: value for key, value in node.items() if key != "_target_"}


def read_genotype(session: Session, path: Path) -> dict[str, Choice]:
    """The choices of a genotype file, checked against the run's space."""
    return checked_genotype(session.parts.space, path)


def checked_genotype(space: SearchSpace, path: Path) -> dict[str, Choice]:
    """The choices of a genotype file of a space; GenotypeError where it does not fit."""
    file = files.load(path)
    files.check_space(file, name_of(space), fingerprint(space))
    try:
        return check_genotype(space, file.choices)
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error
