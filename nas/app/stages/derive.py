"""Stage derive: from the trained policy to a genotype and its pictures."""

from __future__ import annotations

from nas import console
from nas.app.found import write_genotype
from nas.app.pictures import draw_cells
from nas.app.session import Session
from nas.app.stages.search import ended, search
from nas.space import discretize


def derive(session: Session) -> None:
    """Discretize the last policy of the search; leaves ``plots/*.svg`` and ``genotype.json``."""
    parts, folder = session.parts, session.folder
    if not ended(session):
        search(session)  # does the epochs again that were lost, and no others
    choices = discretize(parts.space, parts.policy.probabilities())
    figures = draw_cells(parts.space, choices, folder.plots)
    for name, figure in figures.items():
        session.board.figure(name, figure, int(session.cfg.trainer.epochs))
    write_genotype(session, choices, folder.genotype)
    for sentence in getattr(parts.space, "notes", ()):
        console.say(f"note    {sentence}")
