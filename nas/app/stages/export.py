"""Stage export: the retrained network in other formats, each compared with the original."""

from __future__ import annotations

from collections.abc import Sequence

from nas import console
from nas.analysis.summary import integers_text
from nas.app.low_rank import RANKS
from nas.app.session import Session
from nas.app.stages.evaluate import stored_network
from nas.export.base import Exporter, ExportRecord
from nas.export.run import check_formats, export_all, exporters
from nas.files import read_json, write_json
from nas.instantiate import conforming, instantiate


def export(session: Session) -> None:
    """Write every format; leaves ``export/*``, ``export/parity.json`` and ``export.json``."""
    records = write_formats(session, list(session.cfg.formats))
    status = {record.format: record.status for record in records}
    write_json(session.folder.path / "export.json", status)


def exporters_for(formats: Sequence[str], plugins: Sequence[str]) -> dict[str, Exporter]:
    """The exporters there are, a user's own classes among the formats included.

    Raises:
        ConfigError: a format that is unknown, named twice, or no exporter; or none at all.
    """
    known = exporters()
    for name in formats:
        if "." in name:
            known[name] = conforming(instantiate({"_target_": name}, plugins), Exporter, name)
    check_formats(formats, known)
    return known


def write_formats(session: Session, formats: Sequence[str]) -> list[ExportRecord]:
    """Write the found network in ``formats``, each checked; says how those in integers are."""
    bar = session.bars.task("export", 1)
    text = (session.folder.retrain("found") / "genotype.json").read_text(encoding="utf-8")
    records = export_all(
        stored_network(session).cpu(),
        text,
        session.parts.data.spec.input_shape,
        session.folder.export,
        formats,
        seed=session.cfg.seed,
        known=exporters_for(formats, session.cfg.plugins),
    )
    ranks = session.folder.retrain("found") / RANKS
    if "safetensors" in formats and ranks.is_file():  # without which weights fit no network
        write_json(session.folder.export / RANKS, read_json(ranks))
    bar.advance()
    for record in records:
        _say(record)
    return records


def _say(record: ExportRecord) -> None:
    """One line on a file in integers; what it should be and is not, as a warning."""
    if sentence := integers_text(record.to_json()):
        console.say(f"{record.format} in integers: {sentence}")
    for unmet in record.facts.get("unmet", ()):
        console.warn(
            f"export {record.format}: {unmet}; its size and time are measured all the same"
        )
