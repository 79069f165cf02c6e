"""The settings of ``nas bench build``, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, ListConfig

from nas.app.alone import Training
from nas.app.drawn import drawn
from nas.benchmarks import SpaceRecord
from nas.benchmarks.query import HIGHER
from nas.build import Parts
from nas.decision import Choice
from nas.errors import ConfigError
from nas.space import decisions_of, enumerate_genotypes, name_of, size
from nas.tasks import Task

LEAST, MOST = 3, 20_000  # architectures


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        record: of the space, as the table holds it.
        genotypes: of the architectures, in the table's order.
        seeds: of the trainings of each.
        lengths: epochs after which validation is recorded, the last ones of a training included.
        jobs: processes.
    """

    record: SpaceRecord
    genotypes: Sequence[Mapping[str, Choice]]
    seeds: tuple[int, ...]
    lengths: tuple[int, ...]
    jobs: int

    def trainings(self) -> list[Training]:
        """Seed by seed, so that a stopped command has some seeds of all."""
        return [
            Training(f"{place:05d}-s{seed}", choices, seed)
            for seed in self.seeds
            for place, choices in enumerate(self.genotypes)
        ]


def settings(cfg: DictConfig, parts: Parts, space: str) -> Settings:
    """What the command line asks for; ``space`` is the name of its config.

    Raises ConfigError naming the setting that is not allowed, or what a table cannot hold.
    """
    check_task(parts.task)
    record = SpaceRecord(space, tuple(decisions_of(parts.space).values()))
    record.options  # noqa: B018  (says whether a table can hold them, before anything is trained)
    return Settings(
        record,
        _genotypes(cfg, parts),
        _seeds(cfg.seeds),
        _lengths(cfg),
        _whole("jobs", cfg.jobs, 1),
    )


def check_task(task: Task) -> None:
    """Raise ConfigError for a metric of which a table does not know whether more is better."""
    for metric, higher in task.higher_is_better.items():
        if higher != (metric in HIGHER):
            raise ConfigError(
                f"a table takes larger values of metric {metric!r} for "
                f"{'worse' if higher else 'better'} ones; rename it: larger is better of "
                f"{', '.join(sorted(HIGHER))}"
            )


def _genotypes(cfg: DictConfig, parts: Parts) -> list[dict[str, Choice]]:
    total = size(parts.space)
    if cfg.n is None:
        if total > MOST:
            raise ConfigError(
                f"space {name_of(parts.space)!r} has {total:.3g} architectures; say how many of "
                "them with n=N"
            )
        return enumerate_genotypes(parts.space)
    n = _whole("n", cfg.n, LEAST)
    if n > min(total, MOST):
        raise ConfigError(
            f"n must be at most {min(total, MOST)} for space {name_of(parts.space)!r}, got {n}"
        )
    if n == total:
        return enumerate_genotypes(parts.space)
    return drawn(parts.space, n, int(cfg.seed), "table")


def _seeds(given: object) -> tuple[int, ...]:
    if given is None:
        return (0,)
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return tuple(range(given))
    found = tuple(given) if isinstance(given, ListConfig) else ()
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) for seed in found)
    if not found or not whole or min(found) < 0 or len(set(found)) < len(found):
        raise ConfigError(
            f"seeds must be a number above 0, or a list of different whole numbers; got {given}"
        )
    return found


def _lengths(cfg: DictConfig) -> tuple[int, ...]:
    last = int(cfg.trainer.network_epochs)
    given = cfg.lengths if isinstance(cfg.lengths, ListConfig) else [cfg.lengths]
    found = tuple(sorted({_whole("lengths", each, 1) for each in given} | {last}))
    if found[-1] > last:
        raise ConfigError(
            f"lengths must lie below trainer.network_epochs={last}, got {found[-1]}; "
            "train longer, or leave it out"
        )
    return found


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
