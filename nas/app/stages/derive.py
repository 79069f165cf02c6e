"""Stage derive: from the trained policy, or by the strategy's own way, to a genotype."""

from __future__ import annotations

from nas import console
from nas.app import budgeted
from nas.app.candidates import RunCandidates
from nas.app.found import write_genotype
from nas.app.gap import measure_gap
from nas.app.pictures import draw_cells
from nas.app.session import Session
from nas.app.stages.search import ended, search
from nas.decision import Choice
from nas.files import jsonable, write_json

RECORD = "derivation.json"


def derive(session: Session) -> None:
    """Find the genotype of a search that has ended; leaves ``plots/*.svg`` and ``genotype.json``.

    By default it is discretized from the last policy, under the budget where there is one. A
    strategy with a ``derivation`` finds it by that, with a row of ``queries.jsonl`` per path
    scored; where it finds several, all are in ``genotypes/``. Budget and derivation leave
    ``derivation.json``, a supernet ``gap.json``.
    """
    parts, folder = session.parts, session.folder
    if parts.searches and not ended(session):
        search(session)  # does the epochs again that were lost, and no others
    choices = _choices(session)
    figures = draw_cells(parts.space, choices, folder.plots)
    for name, figure in figures.items():
        session.board.figure(name, figure, int(session.cfg.trainer.epochs))
    write_genotype(session, choices, folder.genotype)
    if parts.searches:
        measure_gap(session, choices)
    for sentence in getattr(parts.space, "notes", ()):
        console.say(f"note    {sentence}")


def _choices(session: Session) -> dict[str, Choice]:
    parts = session.parts
    if parts.derivation is None:
        return _from_policy(session)
    found = parts.derivation(RunCandidates(session))
    for name, choices in found.named.items():
        write_genotype(session, choices, session.folder.genotype_named(name))
    record = {**found.figures, "metric": parts.task.primary, "sentence": found.sentence}
    write_json(session.folder.path / RECORD, record)
    console.say(f"derive  {found.sentence}")
    return found.choices


def _from_policy(session: Session) -> dict[str, Choice]:
    parts = session.parts
    found = budgeted.derived(parts)
    if parts.limits is not None:
        write_json(session.folder.path / RECORD, jsonable(budgeted.record(parts, found)))
        tell = console.warn if found.excess > 0 else console.say
        tell(f"derive  {budgeted.sentence(found)}")
    return found.choices
