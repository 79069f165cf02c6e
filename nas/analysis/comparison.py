"""Groups of runs side by side: what was measured, and what may be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any

from nas.analysis.matching import Entry
from nas.analysis.statistics import (
    Description,
    describe,
    differences,
    direction,
    holm,
    signed_rank,
)
from nas.analysis.summary import PAIRED_SEEDS, in_words

SIGNIFICANT = 0.05
"""A corrected p has to be below this for a claim."""


@dataclass(frozen=True)
class Best:
    """The run that is best on validation of ``of`` runs, and what it reached on test."""

    run: str
    of: int
    test: float


@dataclass(frozen=True)
class Group:
    """Runs with one value of the setting compared; costs are means over the runs that know them.

    ``random`` describes, over the runs, the mean test metric of random networks of equal cost, each
    retrained like the found one; ``distance`` is the mean share of decisions in which the genotypes
    of two seeds differ.
    """

    name: str
    seeds: tuple[int, ...]
    test: Description
    validation: Description | None
    parameters: float | None
    macs: float | None
    search_seconds: float | None
    best: Best | None = None
    random: Description | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Pair:
    """Two groups on the seeds that both have; without enough of them there is no test.

    ``difference`` describes the metric of ``one`` minus that of ``other``, ``direction`` is the
    side of its signed ranks. ``claim`` is 1 where ``one`` is established as better, -1 where
    ``other`` is, else 0.
    """

    one: str
    other: str
    seeds: tuple[int, ...]
    difference: Description | None
    direction: int = 0
    p: float | None = None
    corrected: float | None = None
    claim: int = 0


@dataclass(frozen=True)
class Comparison:
    """All groups, and all pairs of them."""

    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]


def compare(entries: Sequence[Entry], higher_is_better: bool) -> Comparison:
    """Describe every group and test every pair of groups on its common seeds.

    A group has at most one run per seed. Pairs with at least `PAIRED_SEEDS` common seeds are
    tested by Wilcoxon's exact signed-rank test, corrected over all of them by Holm's method.
    """
    named: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        named.setdefault(entry.group, {})[entry.seed] = entry
    pairs = [_pair(one, other, named[one], named[other]) for one, other in combinations(named, 2)]
    tested = [pair for pair in pairs if pair.p is not None]
    corrected = iter(holm([pair.p for pair in tested if pair.p is not None]))
    sign = 1 if higher_is_better else -1
    judged = [
        pair if pair.p is None else _judged(replace(pair, corrected=next(corrected)), sign)
        for pair in pairs
    ]
    groups = [_group(name, list(runs.values()), sign) for name, runs in named.items()]
    return Comparison(tuple(groups), tuple(judged))


def _group(name: str, runs: Sequence[Entry], sign: int) -> Group:
    known = [run.validation for run in runs if run.validation is not None]
    others = [run.random for run in runs if run.random is not None]
    return Group(
        name,
        tuple(run.seed for run in runs),
        describe([run.test for run in runs]),
        describe(known) if known else None,
        _mean([run.parameters for run in runs]),
        _mean([run.macs for run in runs]),
        _mean([run.search_seconds for run in runs]),
        _best(runs, sign),
        describe(others) if others else None,
        genotype_distance([run.genotype for run in runs if run.genotype]),
    )


def _best(runs: Sequence[Entry], sign: int) -> Best | None:
    known = [(run.validation, run) for run in runs if run.validation is not None]
    if len(known) < 2:
        return None
    chosen = max(known, key=lambda pair: sign * pair[0])[1]
    return Best(chosen.run, len(known), chosen.test)


def genotype_distance(genotypes: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean over all pairs of the share of decisions that differ; None for fewer than two.

    A decision that only one of two genotypes takes differs.
    """
    shares = []
    for one, other in combinations(genotypes, 2):
        names = one.keys() | other.keys()
        shares.append(sum(one.get(n) != other.get(n) for n in names) / len(names))
    return fmean(shares) if shares else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _pair(one: str, other: str, first: dict[int, Entry], second: dict[int, Entry]) -> Pair:
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        return Pair(one, other, seeds, None)
    values = differences(
        [first[seed].test for seed in seeds], [second[seed].test for seed in seeds]
    )
    p = signed_rank(values) if len(seeds) >= PAIRED_SEEDS else None
    return Pair(one, other, seeds, describe(values), direction(values), p)


def _judged(pair: Pair, sign: int) -> Pair:
    assert pair.corrected is not None
    assert pair.difference is not None
    if pair.corrected >= SIGNIFICANT:
        return pair
    # Where a few large differences pull the mean to the other side, nothing is claimed.
    agree = pair.difference.mean * pair.direction > 0
    return replace(pair, claim=pair.direction * sign if agree else 0)


def sentence(comparison: Comparison, by: str, metric: str) -> str:
    """The one sentence that the table allows; no comparative word where seeds are too few."""
    pairs = comparison.pairs
    if not pairs:
        return f"all runs have {by} {comparison.groups[0].name}: there is nothing to compare"
    tested = [pair for pair in pairs if pair.p is not None]
    if not tested:
        return f"{_seeds(pairs)}: no claim; {PAIRED_SEEDS} or more could"
    claims = _claims([pair for pair in tested if pair.claim])
    basis = f"test {in_words(metric)}, {_seeds(tested)}, p corrected over {_count(tested)}"
    few = [f"{pair.one} and {pair.other}" for pair in pairs if pair.p is None]
    rest = f"; fewer than {PAIRED_SEEDS} paired seeds: {', '.join(few)}" if few else ""
    if not claims:
        names = " and ".join((tested[0].one, tested[0].other))
        between = names if len(tested) == 1 else f"any of the {len(tested)} pairs"
        return f"no difference is shown between {between} ({basis}){rest}"
    others = "" if len(tested) == sum(p.claim != 0 for p in tested) else "; no other is shown"
    return f"{'; '.join(claims)} ({basis}){others}{rest}"


def _claims(pairs: Sequence[Pair]) -> list[str]:
    """``a is better than b and c``, one text per better group."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        better, worse = (pair.one, pair.other) if pair.claim > 0 else (pair.other, pair.one)
        found.setdefault(better, []).append(worse)
    return [f"{name} is better than {' and '.join(worse)}" for name, worse in found.items()]


def _seeds(pairs: Sequence[Pair]) -> str:
    counts = sorted({len(pair.seeds) for pair in pairs})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{span} paired seed{'' if counts == [1] else 's'}"


def _count(pairs: Sequence[Pair]) -> str:
    return f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
