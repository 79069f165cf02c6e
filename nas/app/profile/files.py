"""The folder of a profile: its table last, so that one that is there is whole."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nas.analysis.scatter import scatter_figure
from nas.analysis.svg import svg_bytes
from nas.app.naming import chosen
from nas.app.profile.outcome import Judged
from nas.app.profile.settings import Settings
from nas.build import plain
from nas.costs.latency_table import LatencyTable, write_latency
from nas.costs.units import Unit
from nas.files import as_seen, sha256, write_atomic
from nas.store.identity import canonical_json

NOT_IDENTITY = ("runs", "template")


def folder_of(cfg: DictConfig, wanted: Settings, table: LatencyTable) -> Path:
    """``<runs>/profile/<space>-<data>-<backend>-t<threads>-b<batch>-<hash6>`` of these settings."""
    choices = chosen(HydraConfig.get())
    kept = {name: value for name, value in plain(cfg).items() if name not in NOT_IDENTITY}
    if wanted.csv:
        kept["from"] = sha256(as_seen(str(wanted.given)))
    threads = f"-t{table.device['threads']}" if "threads" in table.device else ""
    kept["threads"] = threads
    own = sha256(canonical_json(kept).encode())[:6]
    name = f"{choices['space']}-{choices['data']}-{wanted.label}{threads}-b{wanted.batch}-{own}"
    return as_seen(Path(str(cfg.runs)) / "profile" / re.sub(r"[^A-Za-z0-9_.+-]+", "_", name))


def write(folder: Path, table: LatencyTable, found: Sequence[Unit], outcome: Judged | None) -> None:
    """``networks.csv`` and ``scatter.svg`` where networks were timed; ``latency.json`` last."""
    if outcome is not None:
        write_atomic(folder / "networks.csv", _networks(outcome))
        judge = slice(outcome.fitted, None)
        figure = scatter_figure(
            f"{outcome.quality.n} networks that fitted nothing",
            ("predicted, ms", f"measured, ms: {table.name}"),
            outcome.predicted[judge],
            [row.ms for row in outcome.measured[judge]],
        )
        write_atomic(folder / "scatter.svg", svg_bytes(figure))
    write_latency(folder / "latency.json", table, found)


def _networks(outcome: Judged) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(dict.fromkeys(name for each in outcome.architectures for name in each))
    writer.writerow(["part", "measured_ms", "low_ms", "high_ms", "predicted_ms", "sum_ms", *names])
    for place, choices in enumerate(outcome.architectures):
        row = outcome.measured[place]
        numbers = (row.ms, row.low, row.high, outcome.predicted[place], outcome.sums[place])
        part = "fit" if place < outcome.fitted else "judge"
        cells = [choices.get(name, "") for name in names]
        writer.writerow([part, *(f"{number:.6g}" for number in numbers), *cells])
    return text.getvalue()
