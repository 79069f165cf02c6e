"""Objects from the nodes of a configuration that say ``_target_``, out of allowed modules only.

Whoever writes a configuration can make a run call what it names. So it may name the parts that
are made for it, and what the user's command allows (``nas.plugins``): no function of ours that
writes files, nothing that loads code, and nothing that is only reached through an allowed module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from omegaconf import DictConfig, ListConfig

from nas.errors import ConfigError, NasError, nearest
from nas.plugins import OURS, importable, packages, targets, top

CLASSES = (
    "nas.compression",
    "nas.costs",
    "nas.data",
    "nas.export",
    "nas.gradients",
    "nas.policies",
    "nas.relaxations",
    "nas.schedules",
    "nas.searchable",
    "nas.strategies",
    "nas.tasks",
    "search_spaces",
    "torch.nn",
    "torch.optim",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.transforms.v2",
)
"""Modules whose classes a configuration may name."""
FUNCTIONS = (
    "search_spaces",
    "torch.nn.functional",
    "torchvision.models",
    "torchvision.transforms.v2.functional",
)
"""Modules whose functions it may name."""
KINDS = {
    "torch.nn.modules.module.Module",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.optim.optimizer.Optimizer",
    "torch.utils.data.dataset.Dataset",
}
"""What the classes of torch and torchvision must derive from; others there load files or code."""
_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def instantiate(node: Any, plugins: Sequence[str] = (), **parts: Any) -> Any:
    """The object that ``node`` describes, with ``parts`` as further arguments.

    With ``_partial_: true`` in the node it is a function that takes the rest. Raises ConfigError
    for a ``_target_`` that may not be named, and for arguments that a constructor refuses;
    NasError for what a user's class raises.
    """
    build = factory(node, plugins)
    return build if node.get("_partial_") else build(**parts)


def factory(node: Any, plugins: Sequence[str] = ()) -> Callable[..., Any]:
    """A function that takes the rest of the arguments of what ``node`` describes."""
    import hydra.utils

    name = target_of(node)
    check_targets(node, plugins)
    _check_settings(node, loaded(name, plugins))
    # Always partial, then called: Hydra would turn dataclasses among the parts into configs.
    make = _explained(name, lambda: hydra.utils.instantiate(node, _partial_=True, _convert_="all"))
    return lambda *args, **more: _explained(name, lambda: make(*args, **more))


def _explained(target: str, step: Callable[[], Any]) -> Any:
    from hydra.errors import InstantiationException

    try:
        return step()
    except NasError:
        raise
    except (InstantiationException, TypeError, ValueError) as error:
        if isinstance(error.__cause__, NasError):
            raise error.__cause__ from error
        reason = _told(error.__cause__ or error)
        raise ConfigError(f"{target} cannot be built from these settings: {reason}") from error
    except Exception as error:
        if top(target) in OURS:
            raise
        raise NasError(f"{target} raised {_told(error)}; NAS_DEBUG=1 shows where") from error


def _told(error: BaseException) -> str:
    text = str(error).split("\n")[0]
    speaks = isinstance(error, TypeError | ValueError) or type(error).__module__.startswith("hydra")
    return text if speaks else f"{type(error).__name__}: {text}"


def _check_settings(node: Mapping[Any, Any], target: Callable[..., Any]) -> None:
    """Raise ConfigError for a setting that ``target`` has no parameter for."""
    try:
        known = inspect.signature(target).parameters
    except (TypeError, ValueError):  # of what is written in C
        return
    if any(kind.kind is inspect.Parameter.VAR_KEYWORD for kind in known.values()):
        return
    for key in map(str, node):
        if key not in known and key not in _KEYS:
            hint = nearest(key, known) or f"; it has {', '.join(known) or 'none'}"
            raise ConfigError(f"{node['_target_']} has no setting {key!r}{hint}")


def asked(node: Any, plugins: Sequence[str] = (), **offered: Any) -> dict[str, Any]:
    """Those of the offered arguments that the target's signature has."""
    known = inspect.signature(loaded(target_of(node), plugins)).parameters
    return {name: value for name, value in offered.items() if name in known}


def conforming(made: Any, contract: type, target: str) -> Any:
    """What was ``made`` from ``target``; ConfigError where it lacks a part of a Protocol."""
    public = [name for name in vars(contract) if not name.startswith("_") or name == "__call__"]
    wanted = [*getattr(contract, "__annotations__", {}), *public]
    lacking = [name for name in wanted if not hasattr(made, name)]
    if lacking:
        raise ConfigError(
            f"{target} is no {contract.__name__}: it lacks {', '.join(lacking)}; "
            f"see {contract.__module__}.{contract.__name__}"
        )
    return made


def target_of(node: Any) -> str:
    """The ``_target_`` of a node; ConfigError where it names none."""
    named = isinstance(node, DictConfig | dict) and node.get("_target_")
    if not named or not isinstance(named, str):
        key = node._get_full_key(None) if isinstance(node, DictConfig | ListConfig) else ""
        raise ConfigError(f"{key or 'the settings'} must name a class by _target_, got {node!r}")
    return named


def check_targets(node: Any, plugins: Sequence[str] = ()) -> None:
    """Raise ConfigError for a ``_target_`` in ``node``, however deep, that may not be named."""
    for name in targets(_plain(node)):
        loaded(name, plugins)


def check_names(node: Any, plugins: Sequence[str] = ()) -> None:
    """As ``check_targets``, by the names alone: nothing is imported."""
    allowed, plain = packages(plugins), _plain(node)
    for key in unnamed(plain):
        raise ConfigError(
            f"{key} is not set: name the class and allow its module, such as "
            f"{key}=my_lab.MyClass plugins=[my_lab]"
        )
    for name in targets(plain):
        _check_name(name, allowed)


def unnamed(node: Any, prefix: str = "") -> Iterator[str]:
    """The full name of every ``_target_`` in plain settings that is left to the user."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        name = f"{prefix}{key}"
        if key == "_target_" and value == "???":
            yield name
        yield from unnamed(value, f"{name}.")


def _plain(node: Any) -> Any:
    from omegaconf import OmegaConf

    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True)
    return node


def loaded(target: str, plugins: Sequence[str] = ()) -> Callable[..., Any]:
    """The class or function that a ``_target_`` names.

    Raises ConfigError where it may not be named or cannot be imported.
    """
    allowed = packages(plugins)
    _check_name(target, allowed)
    importable(plugins)
    found = _load(target)
    home = getattr(found, "__module__", None) or ""
    if not callable(found):
        raise ConfigError(f"_target_ {target!r} is no class or function")
    if not (_ours(found, home) or top(home) in allowed):
        home = home or type(found).__module__
        raise _refusal(target, home, [*plugins, top(home)])
    return cast(Callable[..., Any], found)


def _ours(found: Any, home: str) -> bool:
    """Whether a thing of module ``home`` is one of the parts that are made for configurations."""
    if inspect.isclass(found):
        bases = {f"{base.__module__}.{base.__qualname__}" for base in inspect.getmro(found)}
        return _within(home, CLASSES) and (not home.startswith("torch") or bool(bases & KINDS))
    whole = inspect.isfunction(found) and "." not in found.__qualname__  # no method of a class
    return whole and _within(home, FUNCTIONS)


def _check_name(target: str, allowed: Collection[str]) -> None:
    if "." not in target:
        raise ConfigError(f"_target_ {target!r} names no module; write it as my_lab.space.MySpace")
    public = not any(part.startswith("_") for part in target.split("."))
    part_of_ours = public and _within(target, (*CLASSES, *FUNCTIONS))
    if top(target) not in allowed and not part_of_ours:
        raise _refusal(target, "", [target.rpartition(".")[0]])


def _refusal(target: str, home: str, plugins: Sequence[str]) -> ConfigError:
    what = f"_target_ {target!r}" + (f" is of module {home!r} and" if home else "")
    return ConfigError(
        f"{what} is not of a package that may be loaded; "
        f"if you trust it, add plugins=[{','.join(dict.fromkeys(plugins))}] to the command"
    )


def _within(name: str, modules: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _load(target: str) -> Any:
    """What a dotted name stands for, found as Hydra finds it: attributes before modules."""
    first, *rest = target.split(".")
    found = _imported(first, target)
    path = first
    for part in rest:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            if not inspect.ismodule(found):
                raise _unknown(target, part, found) from None
            found = _imported(path, target, part, found)
    return found


def _imported(module: str, target: str, part: str = "", parent: object = None) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise _unknown(target, part, parent) from error
        raise _broken(target, error) from error
    except Exception as error:  # whatever a module's own code raises
        raise _broken(target, error) from error


def _broken(target: str, error: Exception) -> ConfigError:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ConfigError(f"_target_ {target!r} cannot be imported: {reason}")


def _unknown(target: str, part: str, parent: object) -> ConfigError:
    known = [name for name in dir(parent) if not name.startswith("_")] if parent else []
    hint = nearest(part, known) or "; check its spelling"
    return ConfigError(f"_target_ {target!r} names nothing that can be imported{hint}")
