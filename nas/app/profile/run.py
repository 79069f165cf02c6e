"""``nas profile``: measure or take over, fit, judge, write, and say how far to trust it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import DictConfig

from nas import console
from nas.app.drawn import drawn
from nas.app.naming import chosen
from nas.app.profile.files import folder_of, write
from nas.app.profile.outcome import Judged, judged, spread
from nas.app.profile.settings import Settings, settings
from nas.app.suggested import strategy_words
from nas.build import Parts, data_source, plain
from nas.costs.latency_table import HERE, Calibration, LatencyTable
from nas.costs.units import Unit, fingerprint_of, units
from nas.decision import Choice
from nas.engine.device import set_threads
from nas.files import as_seen, jsonable, write_atomic
from nas.instantiate import loaded
from nas.profile.backends import Backend, backend_of
from nas.profile.given import ask, read_csv, template
from nas.profile.measure import Plan, Times, measure
from nas.space import fingerprint, name_of, size
from nas.store.environment import git_state, machine
from nas.store.identity import own_source_digest

BUSY = 0.25  # interquartile range, as a share, from which on something else is running


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
    _close(cfg, subject, table, times, outcome, folder, wanted)
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
    write_atomic(as_seen(name), template(found))
    console.say(f"{name}: {len(found)} rows, whose last column takes milliseconds")
    console.verbatim(f"next    {shlex.join(('nas', 'profile', *_words(cfg), f'from={name}'))}")
    console.emit_if_wanted({"template": name, "rows": len(found)})


def _close(
    cfg: DictConfig,
    subject: Subject,
    table: LatencyTable,
    times: Times,
    outcome: Judged | None,
    folder: Path,
    wanted: Settings,
) -> None:
    console.say()
    limit = 0.0
    if outcome is not None:
        _say_errors(outcome)
        limit = median(outcome.predicted)
    _say_spread(times, wanted)
    if table.calibration.factor == 0:
        console.warn(
            "the networks' times do not grow with the sum of their operations, so the table tells "
            "no architecture from another; set networks= or repeats= higher"
        )
    files = "latency.json" + (", networks.csv, scatter.svg" if outcome is not None else "")
    console.say(f"files   {folder}/{files}")
    words = (*_words(cfg), *strategy_words(subject.parts.space))
    file = f"cost.latency_ms.table={folder}/latency.json"
    budget = f"budget.latency_ms={limit:.3g}" if limit else "budget.latency_ms=..."
    console.verbatim(f"next    {shlex.join(('nas', 'search', *words, file))} {budget}")
    told = {"folder": folder, "device": table.device, "drift": times.drift}
    fitted = table.calibration
    told |= {"calibration": {"intercept_ms": fitted.intercept, "factor": fitted.factor}}
    console.emit_if_wanted(jsonable({**told, "quality": table.about.get("quality")}))


def _say_errors(outcome: Judged) -> None:
    rows = [
        (name, f"{100 * q.mean:.1f} %", f"{100 * q.worst_decile:.1f} %", f"{q.kendall:.2f}")
        for name, q in (
            ("calibrated (what latency_ms predicts)", outcome.quality),
            ("sum of operations alone", outcome.quality_of_sums),
        )
    ]
    count = outcome.quality.n
    heads = (f"{count} networks that fitted nothing", "relative error", "worst decile", "kendall")
    console.table(rows, heads)
    console.say()
    times = sorted(row.ms for row in outcome.measured)
    fitted = outcome.calibration
    console.say(
        f"fitted  {fitted.intercept:.3g} ms + {fitted.factor:.3g} x sum, on {fitted.networks} "
        f"other networks; networks take {times[0]:.3g} to {times[-1]:.3g} ms"
    )


def _say_spread(times: Times, wanted: Settings) -> None:
    if times.drift is None:
        if not times.networks:
            console.say("fitted  nothing: no whole network was timed, so latency_ms is the sum")
        return
    console.say(
        f"spread  interquartile range {100 * spread(times.rows):.1f} % of operations, "
        f"{100 * spread(times.networks):.1f} % of networks (medians), {times.rounds} readings each"
    )
    console.say(f"drift   {100 * times.drift:.1f} % of the reference")
    if spread(times.networks) > BUSY:
        console.warn(
            f"the times of one network vary by {100 * spread(times.networks):.0f} %: the machine "
            "is busy, and the table is that of a busy one; repeat the command when it is idle"
        )
    elif times.drift > wanted.drift:
        console.warn(
            f"the reference drifted by {100 * times.drift:.0f} % in both measurements: the machine "
            "is busy; repeat the command when it is idle"
        )


def _words(cfg: DictConfig) -> list[str]:
    """What a search of the same networks has to be told: the settings that both verbs have."""
    from hydra.core.hydra_config import HydraConfig

    shared = ("space", "data", "task", "preset", "threads", "plugins")
    typed = [str(text) for text in HydraConfig.get().overrides.task]
    kept = [t for t in typed if t.lstrip("+~").split("=")[0].split(".")[0] in shared]
    groups = {t.lstrip("+").split("=")[0] for t in kept}
    choices = chosen(HydraConfig.get())
    first = [
        f"{g}={choices[g]}"
        for g in ("space", "data")
        if g not in groups
        and g in choices
        and not any(name.startswith(f"{g}._target_") for name in groups)
    ]
    return [*first, *kept]
