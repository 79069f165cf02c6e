"""``nas profile``: measure or take over, fit, judge, write, and say how far to trust it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas import console
from nas.app.drawn import drawn
from nas.app.profile.closing import close, words
from nas.app.profile.files import folder_of, write
from nas.app.profile.outcome import Judged, judged
from nas.app.profile.settings import Settings, settings
from nas.build import Parts, data_source, plain
from nas.costs.latency_table import HERE, Calibration, LatencyTable
from nas.costs.units import Unit, fingerprint_of, units
from nas.decision import Choice
from nas.engine.device import set_threads
from nas.errors import ConfigError
from nas.files import as_seen, write_atomic
from nas.instantiate import loaded
from nas.profile.backends import Backend, backend_of
from nas.profile.given import ask, read_csv, template
from nas.profile.measure import Plan, Times, measure
from nas.space import fingerprint, name_of, size
from nas.store.environment import git_state, machine
from nas.store.identity import own_source_digest


@dataclass(frozen=True)
class Subject:
    """What is profiled: the parts of the settings, the units of the blueprint, whole networks."""

    parts: Parts
    found: Sequence[Unit]
    architectures: Sequence[dict[str, Choice]]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.parts.data.spec.input_shape)

    def plan(self, batch: int) -> Plan:
        """The units and the networks."""
        networks = [self.parts.space.network(each) for each in self.architectures]
        return Plan(self.found, networks, self.input_shape, batch)


def profile(cfg: DictConfig) -> float | None:
    """Make a table of latencies; returns the mean relative error on networks that did not fit it.

    Raises NasError for a setting that is not allowed, or times that are none.
    """
    wanted = settings(cfg)
    own = loaded(wanted.given, cfg.plugins) if wanted.given and not wanted.csv else None
    backend = backend_of(wanted.backend, wanted.execution)
    data = data_source(cfg).load().without("test")
    set_threads(cfg.threads, data.spec.size)
    parts = Parts(cfg, data)
    found = units(parts.blueprint, data.spec.input_shape)
    if wanted.template is not None:
        _write_template(cfg, wanted.template, found)
        return None
    networks = wanted.count(size(parts.space))
    architectures = drawn(parts.space, networks, wanted.seed, "profile", "networks")
    subject = Subject(parts, found, architectures)
    console.table(_plan(subject, wanted))
    times = _times(subject, wanted, backend, own)
    outcome = judged(parts.blueprint, found, parts.cost_decisions, architectures, times)
    table = _table(subject, wanted, backend, times, outcome)
    folder = folder_of(cfg, wanted, table)
    write(folder, table, found, outcome)
    close(cfg, parts.space, table, times, outcome, folder, wanted)
    return None if outcome is None else outcome.quality.mean


def _times(
    subject: Subject, wanted: Settings, backend: Backend, own: Callable[..., Any] | None
) -> Times:
    if wanted.csv:
        return read_csv(as_seen(str(wanted.given)), subject.found)
    with console.Progress() as progress:

        def start(total: int, what: str) -> Callable[[], None]:
            return progress.task(what, total).advance

        plan = subject.plan(wanted.batch)
        if own is not None:
            return ask(plan, own, str(wanted.given), wanted.seed, start)
        return measure(plan, backend, wanted.repeats, wanted.drift, wanted.seed, start)


def _plan(subject: Subject, wanted: Settings) -> list[tuple[str, str]]:
    different = len({(u.operation, call) for u in subject.found for call in u.calls})
    shape = "x".join(map(str, subject.input_shape))
    here = machine()
    device = f"{here['cpu']['model']}, {here['threads']} of {here['cpu']['cores']} cores' threads"
    how = f"{wanted.backend}, {wanted.execution}, batch {wanted.batch}, fp32"
    rows = [
        ("space", f"{name_of(subject.parts.space)}, {shape} inputs"),
        ("operations", f"{different} different ones at {len(subject.found)} places"),
    ]
    if wanted.given is not None:
        return [*rows, ("times", f"from {wanted.given}")]
    networks = f"{len(subject.architectures)} random ones"
    return [*rows, ("networks", networks), ("device", device), ("run", how)]


def _table(
    subject: Subject,
    wanted: Settings,
    backend: Backend,
    times: Times,
    outcome: Judged | None,
) -> LatencyTable:
    parts = subject.parts
    space = {
        "name": name_of(parts.space),
        "fingerprint": fingerprint(parts.space),
        "blueprint": fingerprint_of(subject.found),
        "input_shape": list(subject.input_shape),
        "args": {k: v for k, v in plain(parts.cfg)["space"].items() if k != "_target_"},
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    device: dict[str, Any] = {"batch": wanted.batch, "date": date}
    if wanted.given is None:
        here = machine()
        own = {"backend": backend.name, "execution": backend.execution, "dtype": "float32"}
        name = f"{here['cpu']['model']}, threads={here['threads']}, {backend.name}"
        device = {"name": name, "source": HERE, **here, **own, **device}
    else:
        name = wanted.name or Path(wanted.given).name
        device = {"name": name, "source": wanted.label, "from": wanted.given, **device}
    about: dict[str, Any] = {
        "drift": times.drift,
        "reference_ms": times.reference,
        "rounds": times.rounds,
        "code": {"source": own_source_digest(), "git": git_state(Path(__file__).parents[2])},
    }
    if outcome is not None:
        about["quality"] = {
            "calibrated": outcome.quality.to_json(),
            "sums": outcome.quality_of_sums.to_json(),
        }
    calibration = Calibration() if outcome is None else outcome.calibration
    return LatencyTable(space, device, times.rows, calibration, about)


def _write_template(cfg: DictConfig, name: str, found: Sequence[Unit]) -> None:
    file = as_seen(name)
    if file.exists():
        raise ConfigError(f"template={name} is there already and may be filled in; name another")
    write_atomic(file, template(found))
    console.say(f"{name}: {len(found)} rows, whose last column takes milliseconds")
    console.verbatim(f"next    {shlex.join(('nas', 'profile', *words(cfg), f'from={name}'))}")
    console.emit_if_wanted({"template": name, "rows": len(found)})
