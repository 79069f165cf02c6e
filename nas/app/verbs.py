"""The run verbs: which stages each runs, on which folder, and what it prints at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from nas import console
from nas.analysis.summary import final_rows
from nas.app.given import place_genotype
from nas.app.lengths import check_lengths
from nas.app.located import locate
from nas.app.plan import plan, remove_empty
from nas.app.session import opened
from nas.app.stages import STAGES, check_order, check_stages, missing, run_stages
from nas.errors import ConfigError, NasError
from nas.files import read_json
from nas.runs.folder import RunFolder, resolve
from nas.runs.identity import own_source_digest

RETRAINING = ("retrain", "evaluate", "export", "report")


def search(cfg: DictConfig) -> float | None:
    """``nas search``: all stages from data to report."""
    return _staged(cfg, tuple(STAGES))


def retrain(cfg: DictConfig) -> float | None:
    """``nas retrain GENOTYPE``: the stages after a search, for a genotype from anywhere."""
    return _staged(cfg, RETRAINING)


def _staged(cfg: DictConfig, known: tuple[str, ...]) -> float | None:
    from hydra.core.hydra_config import HydraConfig

    if cfg.mode not in ("run", "plan"):
        raise ConfigError(f"mode must be run or plan, got {cfg.mode!r}")
    _watch_gradients(cfg)
    check_lengths(cfg)
    stages = check_stages(list(cfg.stages), known)
    folder = RunFolder(_path(HydraConfig.get().runtime.output_dir))
    if cfg.mode == "plan":
        try:
            plan(cfg, stages)
        finally:
            remove_empty(folder.path)
        return None
    if not cfg.fresh and cfg.resume != "never" and not missing(folder.path, stages):
        status = folder.status()
        if status.state == "interrupted":  # after its last file, before it could say so
            status = folder.set_status("finished", stage="")
        when = status.finished or status.updated
        console.say(f"already finished {when}, {made_by(folder)}; fresh=true runs it again")
        folder.point_latest()
        return close(folder)
    check_order(folder.path, stages, known)
    # Located before the run's own folder may become the latest.
    given = locate(str(cfg.genotype), str(cfg.runs)) if "genotype" in cfg else None
    with opened(cfg, stages) as session:
        if "genotype" in cfg and not folder.genotype.is_file():
            place_genotype(session, given)
        folder.point_latest()
        run_stages(session)
    return close(folder)


def evaluate(cfg: DictConfig) -> float | None:
    """``nas evaluate RUN``: the test split, with the weights that the run stored."""
    from nas.app.stages.evaluate import test_figures

    with reopened(cfg) as session:
        found = test_figures(session, "found")
        metric = session.parts.task.primary
    rows = [("run", session.folder.path), *((k, _figure(v)) for k, v in found.items())]
    console.table(rows)
    console.emit_if_wanted({"run": session.folder.path, "test": found})
    return float(found[metric])


def export(cfg: DictConfig) -> float | None:
    """``nas export RUN``: the retrained network in other formats."""
    from nas.app.stages.export import write_formats

    with reopened(cfg) as session:
        records = write_formats(session, list(cfg.formats))
    rows = [
        (r.format, r.status if r.path is None else r.path, _difference(r.largest_difference))
        for r in records
    ]
    console.table(rows, ("format", "file", "largest difference"))
    console.emit_if_wanted(
        {"run": session.folder.path, "exports": [r.to_json(session.folder.path) for r in records]}
    )
    return None


def close(folder: RunFolder) -> float | None:
    """Print the closing table of a run; returns what a sweeper may choose by."""
    if not folder.result.is_file():
        console.say(f"done    {folder.path}")
        return None
    result = read_json(folder.result)
    console.table(final_rows(result, folder.path))
    name = "latest" if folder.path.parent.parent == Path("runs") else folder.path
    console.say(f"next    nas show {name} · nas evaluate {name} · nas search strategy=darts")
    return chosen_by(result)


def chosen_by(result: Mapping[str, Any]) -> float | None:
    """The found network's primary metric on validation: choices between runs may not see test."""
    for network in result["networks"]:
        if network["name"] == "found":
            return float(network["validation"][result["metric"]])
    return None


def _watch_gradients(cfg: DictConfig) -> None:
    torch.autograd.set_detect_anomaly(bool(cfg.debug.anomaly))


def reopened(cfg: DictConfig) -> Any:
    """A session on the folder of an earlier run, with that run's settings."""
    from nas.app.reopen import reopen

    folder = resolve(str(cfg.run), str(cfg.runs))
    if not folder.config.is_file():
        raise NasError(f"{folder.path} holds no config.yaml; it is not the folder of a run")
    saved = OmegaConf.load(folder.config)
    assert isinstance(saved, DictConfig)
    saved.device = cfg.get("device", "cpu")
    unasked = sorted(set(saved.plugins) - set(cfg.plugins))
    if unasked:
        raise ConfigError(
            f"{folder.path} was made with modules of a user's own; if you trust them, "
            f"add plugins=[{','.join(saved.plugins)}] to the command"
        )
    return reopen(saved, folder)


def made_by(folder: RunFolder) -> str:
    """The version of nas that a run was made by, and whether it is today's."""
    source = str(read_json(folder.env).get("source", "unknown"))
    same = "" if source == own_source_digest() else " (not the one you have now)"
    return f"code {source[:4]}{same}"


def _path(text: str) -> Path:
    # Shown and stored relative to where the user is, as the user typed it.
    path = Path(text)
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _figure(value: float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


VERBS: Mapping[str, Callable[[DictConfig], float | None]] = {
    "search": search,
    "retrain": retrain,
    "evaluate": evaluate,
    "export": export,
}
