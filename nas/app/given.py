"""A genotype from anywhere: a run, a file, or a published name."""

from __future__ import annotations

from pathlib import Path

from nas.app.found import checked_genotype, write_genotype
from nas.app.pictures import draw_cells
from nas.app.session import Session
from nas.decision import Choice
from nas.errors import GenotypeError, nearest
from nas.store.folder import runs


def find_genotype(session: Session, text: str, file: Path | None, root: str) -> dict[str, Choice]:
    """The choices of a published name, or of ``file``, which ``text`` was located at.

    Raises GenotypeError naming what was tried, and the nearest published names.
    """
    space = session.parts.space
    published = dict(getattr(space, "named", dict[str, object])())
    if text in published:
        return dict(space.from_cells(published[text]))  # type: ignore[attr-defined]
    if file is None:
        known = [*published, *(run.name for run, _ in runs(root))]
        raise GenotypeError(
            f"no genotype {text!r}: no published one, run or .json file has that name"
            f"{nearest(text, known)}"
        )
    return checked_genotype(space, file)


def place_genotype(session: Session, file: Path | None) -> None:
    """Write the genotype that the settings name into the run's folder, with its pictures."""
    choices = find_genotype(session, str(session.cfg.genotype), file, str(session.cfg.runs))
    draw_cells(session.parts.space, choices, session.folder.plots)
    write_genotype(session, choices, session.folder.genotype)
