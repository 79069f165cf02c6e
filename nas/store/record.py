"""What the files of a run say of it, read at once; what is missing or damaged is empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nas.errors import NasError
from nas.files import read_json
from nas.store.folder import RunFolder, Status
from nas.store.settings import flat, read_settings

_COPIED = ("experiment", "space", "strategy", "data", "preset")  # choices that results name


@dataclass(frozen=True)
class Record:
    """A run's folder, read lazily and never written."""

    folder: RunFolder

    @cached_property
    def status(self) -> Status:
        """How far the run is."""
        return self.folder.status()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its resolved settings by dotted name."""
        try:
            return flat(read_settings(self.folder.config))
        except NasError:
            return {}

    @cached_property
    def env(self) -> dict[str, Any]:
        """The machine and programs it was made with."""
        return _mapping(self.folder.env)

    @cached_property
    def result(self) -> dict[str, Any]:
        """Its figures."""
        return _mapping(self.folder.result)

    @cached_property
    def choices(self) -> dict[str, str]:
        """The choice of every config group."""
        saved = self.env.get("choices")
        if isinstance(saved, Mapping):
            return {str(group): str(choice) for group, choice in saved.items()}
        return {group: str(self.result[group]) for group in _COPIED if self.result.get(group)}

    @property
    def metric(self) -> str:
        """The name of the task's primary metric; empty without a result."""
        return str(self.result.get("metric") or "")

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return bool(self.result.get("higher_is_better", True))

    @cached_property
    def found(self) -> dict[str, Any]:
        """The found network's part of the result; empty where it was not retrained."""
        networks = self.result.get("networks")
        listed = networks if isinstance(networks, list) else []
        named = (net for net in listed if isinstance(net, dict) and net.get("name") == "found")
        return next(named, {})

    def figure(self, split: str) -> float | None:
        """The metric of the found network on ``validation`` or ``test``; None if not known."""
        figures = self.found.get(split)
        return _number(figures.get(self.metric)) if isinstance(figures, Mapping) else None

    def count(self, name: str) -> float | None:
        """The found network's ``parameters`` or ``macs``; None if not known."""
        return _number(self.found.get(name))

    @property
    def random(self) -> float | None:
        """The metric on ``test`` of the random networks of equal cost, their mean; None if none."""
        networks = self.result.get("networks")
        listed = [net for net in networks or () if isinstance(net, dict)]
        others = [net.get("test") for net in listed if net.get("name") != "found"]
        known = [_number(test.get(self.metric)) for test in others if isinstance(test, Mapping)]
        values = [value for value in known if value is not None]
        return sum(values) / len(values) if values else None

    @cached_property
    def genotype(self) -> dict[str, Any]:
        """The choices of the genotype that it found; empty where there is none."""
        choices = _mapping(self.folder.genotype).get("choices")
        return dict(choices) if isinstance(choices, Mapping) else {}

    @property
    def search_seconds(self) -> float | None:
        """How long the search took; None if not known."""
        search = self.result.get("search")
        return _number(search.get("seconds")) if isinstance(search, Mapping) else None

    @property
    def seconds(self) -> float | None:
        """How long search and all retrainings took together; None if nothing is known."""
        networks = self.result.get("networks")
        listed = networks if isinstance(networks, list) else []
        retrained = [_number(net.get("seconds")) for net in listed if isinstance(net, dict)]
        known = [part for part in (self.search_seconds, *retrained) if part is not None]
        return sum(known) if known else None


def _mapping(path: Any) -> dict[str, Any]:
    try:
        found = read_json(path) if path.is_file() else {}
    except NasError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good else None
