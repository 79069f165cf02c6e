"""Genotype files of a run: written with where they come from, read back with a check."""

from __future__ import annotations

from pathlib import Path

from nas import genotype as files
from nas.app.session import Session
from nas.build import plain
from nas.decision import Choice, Genotype
from nas.errors import GenotypeError
from nas.space import check_genotype, fingerprint, name_of

MACRO = ("network_channels", "network_cells")  # repeated for people who read the file


def write_genotype(
    session: Session, choices: Genotype, path: Path, epoch: int | None = None
) -> files.GenotypeFile:
    """Write a genotype with its space, predicted costs and provenance."""
    parts = session.parts
    node = plain(session.cfg)["space"]
    view = getattr(parts.space, "view", None)
    file = files.make(
        name=name_of(parts.space),
        fingerprint=fingerprint(parts.space),
        choices=choices,
        args={key: value for key, value in node.items() if key != "_target_"},
        macro={key: node[key] for key in MACRO if key in node},
        view=view(choices) if view is not None else None,
        predicted=parts.cost_of(choices),
        provenance={
            "strategy": session.choices.get("strategy", ""),
            "data": session.choices.get("data", ""),
            "seed": int(session.cfg.seed),
            "run": session.hash,
            **({} if epoch is None else {"epoch": epoch}),
        },
    )
    files.save(path, file)
    return file


def read_genotype(session: Session, path: Path) -> dict[str, Choice]:
    """The choices of a genotype file, checked against the run's space."""
    space = session.parts.space
    file = files.load(path)
    files.check_space(file, name_of(space), fingerprint(space))
    try:
        return check_genotype(space, file.choices)
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error
