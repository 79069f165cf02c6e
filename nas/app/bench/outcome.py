"""What a contest shows: curves, final values, tests against random search, rank correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from nas.analysis.comparison import SIGNIFICANT
from nas.analysis.regret import Curve
from nas.analysis.statistics import Description, describe, differences, direction, holm, signed_rank
from nas.analysis.summary import PAIRED_SEEDS
from nas.app.bench.settings import Setup
from nas.benchmarks.bands import bootstrap
from nas.benchmarks.correlation import kendall, precision_at, spearman, top_kendall
from nas.benchmarks.query import Series, select
from nas.benchmarks.table import Values
from nas.benchmarks.trials import Trajectory, judged, regret

BASELINE = "random"
TOP = 10


@dataclass(frozen=True)
class Final:
    """One method after its whole budget.

    ``difference`` is that of its values to random search's, seed by seed; ``corrected`` is the p
    of the paired test after Holm's correction; ``claim`` is 1 or -1 where one of the two is
    established as better, else 0. ``difference`` and the rest are None or 0 without random search,
    ``p`` also with fewer than six seeds.
    """

    strategy: str
    value: Description
    regret: float
    difference: Description | None = None
    p: float | None = None
    corrected: float | None = None
    claim: int = 0


@dataclass(frozen=True)
class Outcome:
    """All that is told of a contest."""

    report: Series
    curves: Mapping[str, Curve]
    values: Mapping[str, Values]
    finals: tuple[Final, ...]
    correlations: Mapping[str, float]


def outcome(setup: Setup, paths: Mapping[str, list[Trajectory]]) -> Outcome:
    """Judge the searches of every method by the report's mean over seeds."""
    series = select(setup.contest.table, setup.contest.report)
    length = max(len(path.best) for rows in paths.values() for path in rows)
    values = {name: judged(series, rows, length) for name, rows in paths.items()}
    curves = {}
    for name, found in values.items():
        start = int(np.isnan(found).any(0).sum())  # before, some seed has nothing to hand over
        lost = regret(series, found[:, start:])
        low, high = bootstrap(lost)
        curves[name] = Curve(lost.mean(0).tolist(), low.tolist(), high.tolist(), start + 1)
    finals = _finals(series, {name: found[:, -1] for name, found in values.items()})
    return Outcome(series, curves, values, finals, correlations(setup))


def _finals(series: Series, last: Mapping[str, Values]) -> tuple[Final, ...]:
    tested: dict[str, float] = {}
    pairs: dict[str, list[float]] = {}
    for name, found in last.items():
        if BASELINE in last and name != BASELINE:
            pairs[name] = differences(found.tolist(), last[BASELINE].tolist())
            if len(found) >= PAIRED_SEEDS:
                tested[name] = signed_rank(pairs[name])
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    finals = []
    for name, found in last.items():
        lost = float(regret(series, found).mean())
        difference = describe(pairs[name]) if name in pairs else None
        claim = 0
        if difference is not None and corrected.get(name, 1.0) < SIGNIFICANT:
            side = direction(pairs[name])
            agree = difference.mean * side > 0  # else a few large differences pull the mean
            claim = side * (1 if series.higher_is_better else -1) if agree else 0
        finals.append(
            Final(
                name,
                describe(found.tolist()),
                lost,
                difference,
                tested.get(name),
                corrected.get(name),
                claim,
            )
        )
    return tuple(finals)


def sentence(finals: tuple[Final, ...], seeds: int) -> str:
    """The one sentence that the table allows."""
    others = [final for final in finals if final.difference is not None]
    if not others:
        return "no claim: strategies need random and another one for a paired test"
    if seeds < PAIRED_SEEDS:
        return f"{seeds} paired seeds: no claim; {PAIRED_SEEDS} or more could"
    better = [final.strategy for final in others if final.claim > 0]
    worse = [final.strategy for final in others if final.claim < 0]
    rest = [final.strategy for final in others if not final.claim]
    texts = [f"better than random search: {', '.join(better)}"] if better else []
    texts += [f"worse than random search: {', '.join(worse)}"] if worse else []
    texts += [f"no difference from random search is shown: {', '.join(rest)}"] if rest else []
    tests = f"{len(others)} test{'s' if len(others) > 1 else ''}"
    return f"{'; '.join(texts)} ({seeds} paired seeds, signed-rank p corrected over {tests})"


def correlations(setup: Setup) -> dict[str, float]:
    """How the score that the searches see orders what can be judged, against the judging values."""
    table = setup.contest.table
    seen, judge = select(table, setup.contest.query), select(table, setup.contest.report)
    sign, known = (1 if judge.higher_is_better else -1), judge.known
    score, truth = sign * seen.first[known], sign * judge.mean[known]
    found: dict[str, float] = {}
    if seen.column != judge.column:
        found = {
            "kendall": kendall(score, truth),
            "spearman": spearman(score, truth),
            "kendall_top20": top_kendall(score, truth),
            f"precision_at_{TOP}": precision_at(score, truth, min(TOP, len(truth))),
        }
    if taus := _between_seeds(seen):
        found["kendall_between_seeds"] = fmean(taus)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _between_seeds(series: Series) -> list[float]:
    """Kendall's tau of every two seeds over the architectures that have both."""
    found = []
    for one, other in combinations(series.values, 2):
        both = ~(np.isnan(one) | np.isnan(other))
        if both.sum() > 1:
            found.append(kendall(one[both], other[both]))
    return found


def record(setup: Setup, found: Outcome) -> dict[str, Any]:
    """The outcome as JSON."""
    contest = setup.contest
    return {
        "table": contest.table.name,
        "score": select(contest.table, contest.query).column.text,
        "policy": contest.query.seed,
        "judged_by": found.report.column.text,
        "judged_architectures": int(found.report.known.sum()),
        "best_of_table": found.report.best,
        "queries": contest.budget.queries,
        "seconds": contest.budget.seconds,
        "seeds": list(setup.seeds),
        "strategies": [
            {
                "strategy": final.strategy,
                "mean": final.value.mean,
                "sd": final.value.sd,
                "interval": final.value.interval,
                "regret": final.regret,
                "difference": None if final.difference is None else final.difference.mean,
                "p": final.p,
                "p_corrected": final.corrected,
            }
            for final in found.finals
        ],
        "correlations": dict(found.correlations),
        "sentence": sentence(found.finals, len(setup.seeds)),
        "notes": list(contest.table.notes),
    }
