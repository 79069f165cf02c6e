"""What a profile prints in the end: how far to trust it, and the search that uses it."""

from __future__ import annotations

import shlex
from pathlib import Path
from statistics import median

from omegaconf import DictConfig

from nas import console
from nas.app.naming import chosen
from nas.app.profile.outcome import Judged, spread
from nas.app.profile.settings import Settings
from nas.app.suggested import strategy_words
from nas.costs.latency_table import LatencyTable
from nas.files import jsonable
from nas.profile.measure import Times
from nas.space import SearchSpace

BUSY = 0.25  # interquartile range, as a share, from which on something else is running


def close(
    cfg: DictConfig,
    space: SearchSpace,
    table: LatencyTable,
    times: Times,
    outcome: Judged | None,
    folder: Path,
    wanted: Settings,
) -> None:
    """Print errors, spread and drift, where the files are, and the search that uses them."""
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
    search = ("nas", "search", *words(cfg), *strategy_words(space))
    file = f"cost.latency_ms.table={folder}/latency.json"
    budget = f"budget.latency_ms={limit:.3g}" if limit else "budget.latency_ms=..."
    console.verbatim(f"next    {shlex.join((*search, file))} {budget}")
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


def words(cfg: DictConfig) -> list[str]:
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
