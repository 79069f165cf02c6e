"""Stage export: the retrained network in other formats, each compared with the original."""

from __future__ import annotations

from collections.abc import Sequence

from nas.app.session import Session
from nas.app.stages.evaluate import stored_network
from nas.export.base import ExportRecord
from nas.export.run import FORMATS, export_all
from nas.files import write_json


def export(session: Session) -> None:
    """Write every format; leaves ``export/*``, ``export/parity.json`` and ``export.json``."""
    records = write_formats(session, FORMATS)
    status = {record.format: record.status for record in records}
    write_json(session.folder.path / "export.json", status)


def write_formats(session: Session, formats: Sequence[str]) -> list[ExportRecord]:
    """Write the found network in ``formats``, each checked against the original."""
    bar = session.bars.task("export", 1)
    text = (session.folder.retrain("found") / "genotype.json").read_text(encoding="utf-8")
    records = export_all(
        stored_network(session).cpu(),
        text,
        session.parts.data.spec.input_shape,
        session.folder.export,
        formats,
        seed=session.cfg.seed,
    )
    bar.advance()
    return records
