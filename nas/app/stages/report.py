"""Stage report: all figures in one place, the page, and the table that closes a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from omegaconf import OmegaConf

from nas.analysis.summary import compare_sentence
from nas.analysis.text import summary_of
from nas.app.found import read_genotype
from nas.app.limits import limits
from nas.app.pictures import graph_of
from nas.app.session import Session
from nas.app.stages.derive import RECORD
from nas.app.stages.search import ended
from nas.arch import Weights
from nas.files import read_json, write_json
from nas.genotype import load
from nas.store.identity import RUNTIME_KEYS
from nas.store.metrics import MetricsFile
from nas.tasks import Task


def report(session: Session) -> None:
    """Leaves ``result.json`` and ``report.html``."""
    from nas.analysis.report import write_report

    result = collect(session)
    write_json(session.folder.result, result)
    choices = read_genotype(session, session.folder.genotype)
    graph = graph_of(session.parts.space, choices)
    session.board.final(
        hyper_parameters(session, result),
        primary(session, result),  # of validation: a sweep is sorted by it
    )
    write_report(
        session.folder.path,
        result,
        MetricsFile(session.folder.metrics).read(),
        graph,
        read_json(session.folder.env),
        final_weights(session),
    )


def hyper_parameters(session: Session, result: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the runs of a sweep apart: the usual four, and every setting that was given."""
    found = {name: result[name] for name in ("strategy", "space", "data", "seed")}
    for text in read_json(session.folder.env).get("overrides", ()):
        key = text.partition("=")[0].lstrip("+~")
        if key not in session.choices and key.split(".")[0] not in RUNTIME_KEYS:
            found[key] = OmegaConf.select(session.cfg, key)
    return found


def collect(session: Session) -> dict[str, Any]:
    """The figures of all stages that ran."""
    folder, choices, task = session.folder, session.choices, session.parts.task
    file = load(folder.genotype)
    graph = graph_of(session.parts.space, read_genotype(session, folder.genotype))
    networks = with_test(folder.path)
    result: dict[str, Any] = {
        "schema": "nas.result/1",
        "experiment": choices.get("experiment", ""),
        "space": choices.get("space", ""),
        "strategy": choices.get("strategy", ""),
        "data": choices.get("data", ""),
        "preset": choices.get("preset", ""),
        "seed": session.cfg.seed,
        "command": " ".join(read_json(folder.env)["command"]),
        "genotype_id": file.id,
        "summary": "" if graph is None else summary_of(graph),
        "metric": task.primary,
        "higher_is_better": task.higher_is_better[task.primary],
        "macs_tolerance": float(session.cfg.trainer.macs_tolerance),
        "networks": networks,
        "splits": read_json(folder.splits)["counts"],
        "notes": [*session.parts.data.notes, *getattr(session.parts.space, "notes", ())],
        "counting": session.parts.counting,
        "budget": budget(session, file.predicted),
    }
    if (folder.path / "search.json").is_file():
        result["search"] = read_json(folder.path / "search.json")
    if (folder.path / RECORD).is_file():
        result["derivation"] = read_json(folder.path / RECORD)
    comparison = compare(task, networks)
    if comparison:
        result["comparison"] = comparison
    parity = folder.export / "parity.json"
    if parity.is_file():
        result["exports"] = [_from_run(record) for record in read_json(parity)["exports"]]
    return result


def _from_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """An export's record with its path as seen from the run's folder."""
    path = record["path"]
    return {**record, "path": None if path is None else f"export/{path}"}


def with_test(folder: Path) -> list[dict[str, Any]]:
    """The records of the retrained networks, with their test figures where there are any."""
    if not (folder / "retrain.json").is_file():
        return []
    records: list[dict[str, Any]] = read_json(folder / "retrain.json")["networks"]
    if (folder / "evaluation.json").is_file():
        test = read_json(folder / "evaluation.json")["test"]
        records = [{**record, "test": test[record["name"]]} for record in records]
    return records


def compare(task: Task, networks: list[dict[str, Any]]) -> dict[str, Any]:
    """The found network beside the random ones, and what may be said of it."""
    metric = task.primary
    values = {n["name"]: n["test"][metric] for n in networks if "test" in n}
    others = [value for name, value in values.items() if name != "found"]
    if "found" not in values or not others:
        return {}
    return {
        "metric": metric,
        "found": values["found"],
        "random_mean": mean(others),
        "random_sd": stdev(others) if len(others) > 1 else None,
        "sentence": compare_sentence(
            values["found"], others, metric, task.higher_is_better[metric]
        ),
    }


def primary(session: Session, result: Mapping[str, Any]) -> dict[str, float]:
    """``final``, the primary metric on validation: of the found network, else of the supernet.

    Nothing where neither was trained.
    """
    metric = session.parts.task.primary
    for network in result["networks"]:
        if network["name"] == "found":
            return {"final": float(network["validation"][metric])}
    supernet = result["search"].get("validation", {})
    return {"final": float(supernet[metric])} if metric in supernet else {}


def budget(session: Session, predicted: Mapping[str, float]) -> list[dict[str, Any]]:
    """Every limit beside the derived network's cost."""
    return [
        {"name": k, "limit": v, "value": predicted[k], "met": predicted[k] <= v}
        for k, v in limits(session.cfg).items()
    ]


def final_weights(session: Session) -> dict[str, Any] | None:
    """Weights of the operations at the end of the search: cell -> (edges, operations, matrix)."""
    parts = session.parts
    if "strategy" not in session.cfg or not (parts.derivation is None or parts.learns):
        return None
    if not ended(session):
        return None
    found: dict[str, tuple[list[str], list[str], list[list[float]]]] = {}
    for name, weights in parts.policy.probabilities().items():
        decision = parts.policy.decisions[name]
        cell, _, edge = name.partition("/")
        if not isinstance(weights, Weights) or decision.pick > 1 or decision.groups > 1:
            continue
        ops = [str(c) for c in decision.candidates]
        edges, known, rows = found.setdefault(cell, ([], ops, []))
        if known == ops:
            edges.append(edge or name)
            rows.append([float(v) for v in weights.row])
    return found or None
