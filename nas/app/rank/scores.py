"""The two scores of an architecture: inherited from the supernet, and trained alone."""

from __future__ import annotations

from collections.abc import Sequence

from nas.app.alone import Choices, Training, train_all
from nas.app.candidates import calibration_batches
from nas.app.inherit import trained_supernet
from nas.app.session import Session
from nas.engine.evaluate import evaluate
from nas.engine.path_score import path_of
from nas.files import read_json, write_json
from nas.store.folder import RunFolder


def inherited(
    session: Session, run: RunFolder, todo: Sequence[Choices], batches: int
) -> list[float]:
    """The primary metric (n,) on validation of each path of the run's supernet.

    Kept in the session's folder as far as it came, so that a stopped command goes on. Statistics of
    batch normalization are those of ``batches`` training batches, or of each batch for 0.
    """
    file = session.folder.path / f"supernet-r{batches}.json"
    known: list[float] = read_json(file)["scores"] if file.is_file() else []
    if len(known) >= len(todo):
        return known[: len(todo)]
    parts, supernet = session.parts, trained_supernet(run, session)
    calibration = calibration_batches(parts, batches)
    bar = session.bars.task("supernet", len(todo), len(known))
    for choices in todo[len(known) :]:
        network = path_of(supernet, choices, calibration)
        figures = evaluate(network, parts.data, "validation", parts.task, device=parts.device)
        known.append(figures[parts.task.primary])
        write_json(file, {"scores": known})
        bar.advance()
    bar.finish()
    return known


def alone(session: Session, todo: Sequence[Choices], jobs: int) -> list[float]:
    """The primary metric (n,) on validation of each network, trained by itself."""
    seed = int(session.cfg.seed)
    trainings = [Training(f"{place:03d}", choices, seed) for place, choices in enumerate(todo)]
    metric = session.parts.task.primary
    records = train_all(session, trainings, jobs)
    return [float(record["validation"][metric]) for record in records]
