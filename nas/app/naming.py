"""Names of run folders: the same command finds its folder again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas.app.effect import without_search
from nas.app.limits import TABLE
from nas.app.located import locate
from nas.files import is_file, sha256
from nas.genotype import load
from nas.instantiate import check_names
from nas.plugins import check_granted, sources, targets
from nas.store.folder import resolve
from nas.store.identity import run_hash

WITHOUT_EXPERIMENT = {"search": "search", "retrain": "retrain"}
_OWN_CLASS = re.compile(r"\+*(space|task|data)\._target_=(.+)")
_OWN_PART = re.compile(r"\++strategy\.([\w.]+)\._target_=(.+)")
_ADD = re.compile(r"\+*strategy/add(?:@\S+)?=(.+)")


def register() -> None:
    """Make ``${run_folder:}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_folder", lambda *, _root_: name(_root_), replace=True)


def name(cfg: DictConfig) -> str:
    """``<experiment>/<space>-<strategy>-s<seed>-<hash6>`` of a composed configuration."""
    choices = chosen(cfg.hydra)
    verb = str(cfg.hydra.job.config_name)
    if verb == "bench_build":
        table = f"{choices['space']}-{choices['data']}-s{cfg.seed}-{identity(cfg)}"
        return f"tables/{_safe(table)}"
    method = str(genotype_id(cfg) if "genotype" in cfg else choices.get("strategy"))
    first = str(choices.get("experiment") or "") or WITHOUT_EXPERIMENT.get(verb, verb)
    first = first if verb == "search" or first == verb else f"{verb}_{first}"
    last = f"{choices['space']}-{method}-s{cfg.seed}-{identity(cfg)}"
    return f"{_safe(first)}/{_safe(last)}"


def chosen(hydra: Any) -> dict[str, str]:
    """The choice in every group, or the class that was named in its place, in lower case.

    A strategy is called by its file, what was added to it, and the classes put in its parts' place.
    """
    found = {str(key): str(value) for key, value in hydra.runtime.choices.items() if value}
    overrides = [str(text) for text in hydra.overrides.task]
    for text in overrides:
        if match := _OWN_CLASS.fullmatch(text):
            found[match[1]] = _class_name(match[2])
    if "strategy" in found:
        found["strategy"] += "".join(f"+{part}" for part in _on_top(overrides))
    return found


def _on_top(overrides: Iterable[str]) -> Iterator[str]:
    for text in overrides:
        if match := _ADD.fullmatch(text):
            yield from match[1].strip("[]").replace(" ", "").split(",")
        elif match := _OWN_PART.fullmatch(text):
            yield _class_name(match[2])


def _class_name(target: str) -> str:
    return target.strip("'\"").rpartition(".")[2].lower()


def identity(cfg: DictConfig) -> str:
    """Six hex digits over settings, data and the source of the user's own modules."""
    from nas.app.config import data_source, plain

    check_granted(cfg.plugins, cfg.hydra.overrides.task)
    settings = {"verb": str(cfg.hydra.job.config_name), **plain(cfg)}
    if "genotype" in settings:
        settings = {**without_search(settings), "genotype": genotype_id(cfg)}
    if settings.get("from"):
        settings["from"] = resolve(str(cfg["from"]), str(cfg.runs)).label
    for node in settings.get("cost", {}).values():
        if node.get(TABLE) and is_file(str(node[TABLE])):
            node[TABLE] = sha256(str(node[TABLE]))  # what is in it counts, not where it lies
    check_names(settings, cfg.plugins)
    source = data_source(cfg)
    for place in getattr(source, "places", ()):  # the same data elsewhere are the same data
        settings["data"].pop(place, None)
    return run_hash(settings, source.fingerprint(), used_sources(cfg))


def used_sources(cfg: DictConfig) -> dict[str, str]:
    """The digest of the source of every package of a user's own that the settings name."""
    from nas.app.config import plain

    settings = plain(cfg)
    if "genotype" in settings:
        settings = without_search(settings)
    return sources([*cfg.plugins, *targets(settings), *_classes(settings.get("formats", ()))])


def _classes(formats: Iterable[str]) -> list[str]:
    """Those formats that are classes of a user's own."""
    return [name for name in map(str, formats) if "." in name]


def genotype_id(cfg: DictConfig) -> str:
    """The id of the genotype that the settings name; what ``latest`` leads to may change."""
    file = locate(str(cfg.genotype), str(cfg.runs))
    return str(cfg.genotype) if file is None else load(file).id


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)
