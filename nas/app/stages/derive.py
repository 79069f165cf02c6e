"""Stage derive: from the trained policy, or by the strategy's own way, to a genotype."""

from __future__ import annotations

from nas import console
from nas.app.candidates import RunCandidates
from nas.app.found import write_genotype
from nas.app.pictures import draw_cells
from nas.app.session import Session
from nas.app.stages.search import ended, search
from nas.decision import Choice
from nas.files import write_json
from nas.space import discretize

RECORD = "derivation.json"


def derive(session: Session) -> None:
    """Find the genotype of a search that has ended; leaves ``plots/*.svg`` and ``genotype.json``.

    By default it is discretized from the last policy. A strategy with a ``derivation`` finds it by
    that, which also leaves ``derivation.json``, and a row of ``queries.jsonl`` per path scored.
    """
    parts, folder = session.parts, session.folder
    if parts.searches and not ended(session):
        search(session)  # does the epochs again that were lost, and no others
    choices = _choices(session)
    figures = draw_cells(parts.space, choices, folder.plots)
    for name, figure in figures.items():
        session.board.figure(name, figure, int(session.cfg.trainer.epochs))
    write_genotype(session, choices, folder.genotype)
    for sentence in getattr(parts.space, "notes", ()):
        console.say(f"note    {sentence}")


def _choices(session: Session) -> dict[str, Choice]:
    parts = session.parts
    if parts.derivation is None:
        return discretize(parts.space, parts.policy.probabilities())
    found = parts.derivation(RunCandidates(session))
    record = {**found.figures, "metric": parts.task.primary, "sentence": found.sentence}
    write_json(session.folder.path / RECORD, record)
    console.say(f"derive  {found.sentence}")
    return found.choices
