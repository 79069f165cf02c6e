"""Names of run folders: the same command finds its folder again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas.app.located import locate
from nas.genotype import load
from nas.runs.identity import run_hash, source_digest

WITHOUT_EXPERIMENT = {"search": "search", "retrain": "retrain"}


def register() -> None:
    """Make ``${run_folder:}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_folder", lambda *, _root_: name(_root_), replace=True)


def name(cfg: DictConfig) -> str:
    """``<experiment>/<space>-<strategy>-s<seed>-<hash6>`` of a composed configuration."""
    choices: dict[str, Any] = dict(cfg.hydra.runtime.choices)
    verb = str(cfg.hydra.job.config_name)
    method = str(choices.get("strategy") or genotype_id(cfg))
    first = str(choices.get("experiment") or "") or WITHOUT_EXPERIMENT.get(verb, verb)
    first = first if verb == "search" or first == verb else f"{verb}_{first}"
    last = f"{space_name(cfg, choices)}-{method}-s{cfg.seed}-{identity(cfg)}"
    return f"{_safe(first)}/{_safe(last)}"


def space_name(cfg: DictConfig, choices: Mapping[str, Any]) -> str:
    """The choice in group ``space``, or the class that was named in its place, in lower case."""
    target = str(cfg.space.get("_target_", ""))
    return str(choices.get("space") or target.rpartition(".")[2].lower())


def identity(cfg: DictConfig) -> str:
    """Six hex digits over settings, data and the source of the user's own modules."""
    from nas.build import data_source, plain

    settings = {"verb": str(cfg.hydra.job.config_name), **plain(cfg)}
    if "genotype" in settings:
        settings["genotype"] = genotype_id(cfg)
    return run_hash(settings, data_source(cfg).fingerprint(), _sources(tuple(cfg.plugins)))


def genotype_id(cfg: DictConfig) -> str:
    """The id of the genotype that the settings name; what ``latest`` leads to may change."""
    file = locate(str(cfg.genotype), str(cfg.runs))
    return str(cfg.genotype) if file is None else load(file).id


@lru_cache
def _sources(plugins: tuple[str, ...]) -> dict[str, str]:
    import importlib.util

    from nas.errors import ConfigError
    from nas.instantiate import importable

    importable(plugins)
    found: dict[str, str] = {}
    for plugin in plugins:
        package = plugin.split(".")[0]
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ConfigError(
                f"plugins={plugin}: there is no module {package!r} on the path; "
                "run the command from its folder, or install it"
            )
        places = list(spec.submodule_search_locations or []) or [str(spec.origin)]
        found[package] = source_digest(*places)
    return found


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)
