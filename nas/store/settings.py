"""The settings of a run as it saved them, and what differs between two such."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, cast

from nas.errors import NasError

ABSENT = "(absent)"
"""Stands for the value of a setting that one side does not have."""


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a ``config.yaml``; NasError where it is missing or damaged."""
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.to_container(OmegaConf.load(os.fspath(path)), resolve=True)
    except FileNotFoundError:
        raise NasError(f"{os.fspath(path)} is missing: this is not the folder of a run") from None
    except Exception as error:  # of the disk, of YAML or of OmegaConf
        raise _damaged(path) from error
    if not isinstance(found, dict):
        raise _damaged(path)
    return cast("dict[str, Any]", found)


def _damaged(path: str | os.PathLike[str]) -> NasError:
    return NasError(
        f"{os.fspath(path)} is damaged, it holds no settings: restore it, or remove it and "
        "repeat the run's command"
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every setting by its dotted name; lists and empty groups are values."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def differing(
    one: Mapping[str, Any], other: Mapping[str, Any], without: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return what differs as dotted name -> (value, value), in the order of ``one``.

    ``without`` names settings and groups of settings that do not count.
    """
    first, second = flat(one), flat(other)
    return {
        name: (first.get(name, ABSENT), second.get(name, ABSENT))
        for name in (*first, *(name for name in second if name not in first))
        if not covered(name, without) and not _same(first, second, name)
    }


def covered(name: str, names: Collection[str]) -> bool:
    """Tell whether a dotted name is one of ``names`` or lies below one."""
    return any(name == known or name.startswith(f"{known}.") for known in names)


def _same(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> bool:
    if name not in first or name not in second:
        return False
    # 1, 1.0 and true are equal in Python, and not in what a run computes.
    return repr(first[name]) == repr(second[name])
