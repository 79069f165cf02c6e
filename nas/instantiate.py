"""Objects from the nodes of a configuration that say ``_target_``, out of allowed packages only."""

from __future__ import annotations

import os
import pydoc
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from omegaconf import DictConfig

from nas.errors import ConfigError, NasError, nearest

ALLOWED = ("nas", "search_spaces", "torch", "torchvision")


def instantiate(node: Any, plugins: Sequence[str] = (), **parts: Any) -> Any:
    """The object that ``node`` describes, with ``parts`` as further arguments.

    With ``_partial_: true`` in the node it is a function that takes the rest. Raises ConfigError
    for a ``_target_`` outside our packages, torch and ``plugins`` (what the user named by
    ``plugins=[...]``), and for arguments that a constructor refuses.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    check_targets(node, plugins)
    target = node["_target_"]

    def explained(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except NasError:
            raise
        except (InstantiationException, TypeError, ValueError) as error:
            reason = str(error.__cause__ or error).split("\n")[0]
            raise ConfigError(f"{target} cannot be built from these settings: {reason}") from error

    # Always partial, then called here: Hydra would turn dataclasses among the parts into configs.
    make = explained(lambda: hydra.utils.instantiate(node, _partial_=True, _convert_="all"))

    def build(*args: Any, **more: Any) -> Any:
        return explained(lambda: make(*args, **more))

    return build if node.get("_partial_") else build(**parts)


def importable(plugins: Sequence[str]) -> None:
    """Let the user's modules be found in the folder he is in.

    An installed command, other than ``python -m nas``, does not look there. That folder comes
    last, so that nothing in it hides an installed module.
    """
    here = os.getcwd()
    if plugins and here not in sys.path:
        sys.path.append(here)


def check_targets(node: Any, plugins: Sequence[str]) -> None:
    """Raise ConfigError for a ``_target_`` in ``node`` that is of no allowed package."""
    importable(plugins)
    _check(node, {name.split(".")[0] for name in (*ALLOWED, *plugins)})


def _check(node: Any, packages: set[str]) -> None:
    if isinstance(node, DictConfig | dict):
        target = node.get("_target_")
        if target is not None and str(target).split(".")[0] not in packages:
            module = str(target).rpartition(".")[0]
            raise ConfigError(
                f"_target_ {target!r} is not of a package that may be loaded; "
                f"if you trust it, add plugins=[{module}] to the command"
            )
        for value in node.values():
            _check(value, packages)


def loaded(target: str) -> Callable[..., Any]:
    """What ``target`` names; ConfigError where a module does not load or has no such thing."""
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport as error:
        reason = f"{type(error.value).__name__}: {' '.join(str(error.value).split())}"
        raise ConfigError(f"_target_ {target!r} cannot be imported: {reason}") from error
    if found is None:
        known = vars(sys.modules.get(target.rpartition(".")[0], object))
        raise ConfigError(
            f"_target_ {target!r} names nothing that can be imported"
            f"{nearest(target.rpartition('.')[2], known) or '; check its spelling'}"
        )
    return cast(Callable[..., Any], found)
