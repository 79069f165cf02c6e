"""What the settings of a line say, by name."""

from __future__ import annotations

from collections.abc import Sequence


def key_of(setting: str) -> str:
    """The name of a setting, without the signs by which Hydra adds or removes it."""
    return setting.partition("=")[0].lstrip("+~")


def values_of(settings: Sequence[str]) -> dict[str, str]:
    """The values by name, without their quotes; of a setting given twice the last, as in Hydra."""
    return {key_of(text): text.partition("=")[2].strip("'\"") for text in settings}


def runs_of(settings: Sequence[str]) -> str:
    """The folder of all runs that the settings name, else the usual one."""
    return values_of(settings).get("runs", "runs")
