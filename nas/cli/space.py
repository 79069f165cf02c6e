"""``nas space``: list, show, measure or check search spaces."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nas import console
from nas.cli import known_spaces
from nas.cli.known_spaces import Known
from nas.cli.look import Look
from nas.errors import ConfigError, NasError, SpaceError, nearest

if TYPE_CHECKING:
    from nas.build import Parts
    from nas.dataspec import DataSpec
    from nas.decision import Decision
    from nas.space import SearchSpace

EXHAUSTIVE = 1000  # genotypes up to which all are counted
DRAWN = 200


def look(line: Look) -> int:
    """``nas space list``, ``nas space show | size | check NAME``."""
    action, name = line.word(0), line.word(1)
    if action == "list":
        if name:
            raise ConfigError(f"nas space list takes no name, got {name!r}; nas space show {name}")
        return _list(line)
    if action not in _ACTIONS:
        known = ("list", *_ACTIONS)
        hint = nearest(action, known) or f"; nas space takes {', '.join(known)}"
        raise ConfigError(f"unknown action {action!r}{hint}")
    if not name:
        raise ConfigError(f"nas space {action} needs the name of a space, e.g. darts or my_space")
    if action != "size" and (limits := _limits(line)):
        raise ConfigError(f"nas space {action} limits nothing, got {limits[0]}; use nas space size")
    return _ACTIONS[action](known_spaces.find(name, line.plugins), line)


def _list(line: Look) -> int:
    found = known_spaces.listed()
    if line.json:
        console.emit([{"name": e.name, "text": e.text, "file": e.file} for e in found])
        return 0
    console.table(((e.name, e.text) for e in found), ("space", "what it is"))
    console.say()
    console.say(f"next  nas space size {found[0].name} · nas search space={found[0].name}")
    return 0


def _show(known: Known, line: Look) -> int:
    from nas.space import fingerprint, name_of, size

    cfg = known.settings(*_data(line), *_preset(line, "cpu"))
    space = known_spaces.build(cfg)
    arguments = dict(cfg.space)
    target = str(arguments.pop("_target_"))
    told: dict[str, Any] = {
        "space": name_of(space),
        "class": target,
        "from": known.where,
        "genotypes": size(space),
        "fingerprint": fingerprint(space),
        "settings": _plain(arguments),
        "named": list(_named(space)),
        "decisions": _decisions(space),
    }
    if line.json:
        console.emit(told)
        return 0
    about = (type(space).__doc__ or "").strip().split("\n\n")[0]
    rows = [("space", told["space"]), ("what", " ".join(about.split())), ("class", target)]
    rows += [("from", known.where), ("genotypes", f"{told['genotypes']:,}")]
    rows += [(f"space.{key}", value) for key, value in told["settings"].items()]
    if told["named"]:
        rows.append(("published", ", ".join(told["named"])))
    rows += [("note", note) for note in getattr(space, "notes", ())]
    console.table(rows)
    _say_decisions(told["decisions"])
    _say_next(known, "size", space)
    return 0


def _size(known: Known, line: Look) -> int:
    from nas.app.budgeted import outlook
    from nas.build import Parts, data_source
    from nas.costs import rule_of
    from nas.space import size

    cfg = known.settings(*_data(line), *_preset(line, "cpu"), *_limits(line))
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    limited = outlook(parts)
    total, decisions = size(parts.space), _decisions(parts.space)
    try:
        costs, counted = _costs(parts, total)
    except SpaceError as error:  # of a hard decision there is no expectation to count
        costs, counted = {}, f"not counted: {error}"
    shape = "x".join(map(str, parts.data.spec.input_shape))
    if line.json:
        told = {"genotypes": total, "input": shape, "decisions": decisions}
        told |= {"costs": costs, "counted": counted, "budget": dict(limited)}
        console.emit({"space": known.name, **told})
        return 0
    rows = [("space", known.name), ("genotypes", f"{total:,}"), ("data", f"{shape} inputs")]
    console.table([*rows, ("networks", counted)])
    if costs:
        console.say()
        console.table(
            (
                (name, *(_figure(value) for value in row.values()), parts.costs[name].unit)
                for name, row in costs.items()
            ),
            ("cost", *next(iter(costs.values())), "unit"),
        )
        console.say()
        console.table(
            ((name, rule) for name in costs if (rule := rule_of(parts.costs[name]))),
            ("cost", "what is counted"),
        )
    if limited:
        console.say()
        console.table(limited)
    _say_decisions(decisions)
    _say_next(known, "check", parts.space)
    return 0


def _check(known: Known, line: Look) -> int:
    from nas.build import data_source
    from nas.testing import checks_of_space

    cfg = known.settings(*_data(line), *_preset(line, "smoke"))
    spec = data_source(cfg).load().spec
    space = known_spaces.build(cfg, spec)
    rows: list[dict[str, str]] = []
    fault = ""
    try:
        for title in checks_of_space(space, spec, others=_others(space, spec)):
            _passed(rows, line)
            rows.append({"check": title, "result": ""})
        _passed(rows, line)
    except AssertionError as error:
        fault = " ".join(str(error).split())
        rows[-1]["result"] = fault
    if line.json:
        console.emit({"space": known.name, "passed": not fault, "checks": rows})
    elif fault:
        console.say(f"FAIL  {rows[-1]['check']}")
    if fault:
        raise NasError(f"space {known.name} does not keep the contract: {fault}")
    if not line.json:
        _say_next(known, "size", space)
    return 0


def _others(space: SearchSpace, data: DataSpec) -> list[SearchSpace]:
    """The listed spaces of other classes: genotypes of one must not be taken for another's."""
    found = []
    for entry in known_spaces.listed():
        with suppress(NasError):  # not made for such data, or with a fault of its own
            other = known_spaces.build(known_spaces.find(entry.name).settings(), data)
            found += [other] if type(other) is not type(space) else []
    return found


def _passed(rows: list[dict[str, str]], line: Look) -> None:
    """The check before this one has passed."""
    if rows:
        rows[-1]["result"] = "ok"
        if not line.json:
            console.say(f"ok    {rows[-1]['check']}")


_ACTIONS: Mapping[str, Callable[[Known, Look], int]] = {
    "show": _show,
    "size": _size,
    "check": _check,
}


def _data(line: Look) -> tuple[str, ...]:
    named = ("data", "compression")
    return tuple(f"{name}={line.settings[name]}" for name in named if name in line.settings)


def _limits(line: Look) -> tuple[str, ...]:
    """The settings of a budget, and the table that one on the latency needs."""
    return tuple(
        f"{name}={value}"
        for name, value in line.settings.items()
        if name.partition(".")[0] in ("budget", "cost")
    )


def _preset(line: Look, default: str) -> tuple[str, ...]:
    return (f"preset={line.settings.get('preset', default)}",)


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return {
        str(key): OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        for key, value in arguments.items()
    }


def _named(space: SearchSpace) -> Mapping[str, Any]:
    named = getattr(space, "named", None)
    return {} if named is None else dict(named())


def _decisions(space: SearchSpace) -> list[dict[str, Any]]:
    """How many decisions of each sort, by the first part of their names."""
    from nas.space import decisions_of

    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, decision in decisions_of(space).items():
        group, kept = name.split("/")[0], _kept(decision)
        row = {"group": group, "count": 0, "kept": kept, "candidates": list(decision.candidates)}
        found.setdefault((group, kept, decision.candidates), row)["count"] += 1
    return list(found.values())


def _kept(decision: Decision) -> str:
    text = f"{decision.pick} of {len(decision)}"
    text += f" in each of {decision.groups} groups" if decision.groups > 1 else ""
    return text + (", nested" if decision.kind == "nested" else "")


def _say_decisions(rows: list[dict[str, Any]]) -> None:
    console.say()
    cells = (
        (row["group"], row["count"], row["kept"], ", ".join(map(str, row["candidates"])))
        for row in rows
    )
    console.table(cells, ("group", "decisions", "kept", "candidates"))


def _costs(parts: Parts, total: int) -> tuple[dict[str, dict[str, float]], str]:
    """Smallest, median and largest of every cost, of all genotypes or of some drawn at random."""
    from statistics import median

    import torch

    from nas.space import enumerate_genotypes, sample

    if total <= EXHAUSTIVE:
        genotypes, counted = enumerate_genotypes(parts.space), f"all {total}"
    else:
        generator = torch.Generator().manual_seed(0)
        genotypes = [sample(parts.space, generator) for _ in range(DRAWN)]
        counted = f"{DRAWN} drawn at random"
    found = [parts.cost_of(genotype) for genotype in genotypes]
    values = {name: sorted(each[name] for each in found) for name in found[0]}
    rows = {
        name: {"smallest": row[0], "median": median(row), "largest": row[-1]}
        for name, row in values.items()
    }
    return rows, counted


def _figure(value: float) -> str:
    """A cost: whole where it is large, three digits where it is small."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _say_next(known: Known, action: str, space: SearchSpace) -> None:
    """The next two commands; the default strategy is suggested only where it fits the space."""
    from nas.app.suggested import strategy_words

    console.say()
    search = shlex.join(("nas", "search", *known.words, *strategy_words(space), "preset=smoke"))
    console.verbatim(f"next  nas space {action} {known.name}\n      {search}")
