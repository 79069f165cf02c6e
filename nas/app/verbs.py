"""The run verbs: which stages each runs, on which folder, and what it prints at the end.

What needs torch is imported where it is used: a run that is finished is told without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas import console
from nas.analysis.summary import final_rows
from nas.app.finished import already, finished
from nas.app.located import locate
from nas.app.stages import STAGES, check_order, check_stages, run_stages
from nas.errors import ConfigError
from nas.files import as_seen, read_json
from nas.plugins import words
from nas.store.folder import RunFolder, resolve

RETRAINING = ("retrain", "evaluate", "export", "report")


def search(cfg: DictConfig) -> float | None:
    """``nas search``: all stages from data to report."""
    return _staged(cfg, tuple(STAGES))


def retrain(cfg: DictConfig) -> float | None:
    """``nas retrain GENOTYPE``: the stages after a search, for a genotype from anywhere."""
    return _staged(cfg, RETRAINING)


def _staged(cfg: DictConfig, known: tuple[str, ...]) -> float | None:
    from hydra.core.hydra_config import HydraConfig

    stages = check_stages(list(cfg.stages), known)
    folder = RunFolder(as_seen(HydraConfig.get().runtime.output_dir))
    if cfg.mode == "plan":
        _planned(cfg, stages, folder)
        return None
    if finished(cfg, folder, stages):
        sentence = already(folder)
        if not _in_sweep():
            console.say(sentence)
        folder.point_latest()
        return close(folder, cfg.plugins)
    check_order(folder.path, stages, known)
    return _run(cfg, stages, folder)


def _planned(cfg: DictConfig, stages: Sequence[str], folder: RunFolder) -> None:
    from nas.app.plan import plan

    _watch_gradients(cfg)
    plan(cfg, stages, folder)


def _run(cfg: DictConfig, stages: Sequence[str], folder: RunFolder) -> float | None:
    from nas.app.given import place_genotype
    from nas.app.session import opened

    _watch_gradients(cfg)
    # Located before the run's own folder may become the latest.
    given = locate(str(cfg.genotype), str(cfg.runs)) if "genotype" in cfg else None
    with opened(cfg, stages) as session:
        if "genotype" in cfg and not folder.genotype.is_file():
            place_genotype(session, given)
        folder.point_latest()
        run_stages(session)
    return close(folder, cfg.plugins)


def evaluate(cfg: DictConfig) -> float | None:
    """``nas evaluate RUN``: the test split, with the weights that the run stored."""
    from nas.app.stages.evaluate import supernet_figures, test_figures

    if cfg.weights not in ("retrained", "supernet"):
        raise ConfigError(f"weights must be retrained or supernet, got {cfg.weights!r}")
    if cfg.genotype is not None and cfg.weights == "retrained":
        raise ConfigError(
            f"only the run's own genotype was retrained; genotype={cfg.genotype} "
            "needs weights=supernet"
        )
    with reopened(cfg) as session:
        if cfg.weights == "supernet":
            found = supernet_figures(session, cfg.genotype)
        else:
            found = {"test": dict(test_figures(session, "found"))}
        metric = session.parts.task.primary
    rows = [("run", session.folder.path), ("weights", cfg.weights)]
    for split, figures in found.items():
        rows += [(f"{split} {name}", _figure(value)) for name, value in figures.items()]
    console.table(rows)
    console.emit_if_wanted({"run": session.folder.path, "weights": cfg.weights, **found})
    return float(found["test"][metric])


def export(cfg: DictConfig) -> float | None:
    """``nas export RUN``: the retrained network in other formats; its report shows them."""
    from nas.app.stages.export import write_formats
    from nas.app.stages.report import report

    with reopened(cfg) as session:
        records = write_formats(session, list(cfg.formats))
        if session.folder.result.is_file():
            report(session)
    rows = [
        (r.format, r.status if r.path is None else r.path, _difference(r.largest_difference))
        for r in records
    ]
    console.table(rows, ("format", "file", "largest difference"))
    console.emit_if_wanted(
        {"run": session.folder.path, "exports": [r.to_json(session.folder.path) for r in records]}
    )
    return None


def bench(cfg: DictConfig) -> float | None:
    """``nas bench run``: search methods on a table of trained architectures."""
    from nas.app.bench import bench as run_bench

    return run_bench(cfg)


def bench_build(cfg: DictConfig) -> float | None:
    """``nas bench build``: train architectures of a space and write their table."""
    from nas.app.tabulate import build

    return build(cfg)


def rank(cfg: DictConfig) -> float | None:
    """``nas rank RUN``: does its supernet order architectures as training them alone does?"""
    from nas.app.rank import rank as run_rank

    return run_rank(cfg)


def profile(cfg: DictConfig) -> float | None:
    """``nas profile``: times of operations and networks, as a table for the latency cost."""
    from nas.app.profile import profile as run_profile

    return run_profile(cfg)


def close(folder: RunFolder, plugins: Sequence[str] = ()) -> float | None:
    """Print the closing table of a run; returns what a sweeper may choose by.

    A sweep prints one table of all its jobs in the end.
    """
    result = read_json(folder.result) if folder.result.is_file() else None
    if _in_sweep():
        return None if result is None else chosen_by(result)
    if result is None:
        console.say(f"done    {folder.path}")
        return None
    console.table(final_rows(result, folder.path))
    name = "latest" if folder.path.parent.parent == Path("runs") else folder.path
    given = words(plugins)
    console.say(f"next    nas show {name}{given} · nas evaluate {name}{given}")
    console.say(f"        nas search --from {name} strategy={other_strategy(result)}{given}")
    return chosen_by(result)


def other_strategy(result: Mapping[str, Any]) -> str:
    """A shipped strategy to compare with: none that a run was searched with, additions or not."""
    used = str(result.get("strategy") or "").partition("+")[0]
    return "darts" if used == "pc_darts" else "pc_darts"


def chosen_by(result: Mapping[str, Any]) -> float | None:
    """The found network's primary metric on validation: choices between runs may not see test."""
    for network in result["networks"]:
        if network["name"] == "found":
            return float(network["validation"][result["metric"]])
    return None


def _in_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def _watch_gradients(cfg: DictConfig) -> None:
    import torch

    torch.autograd.set_detect_anomaly(bool(cfg.debug.anomaly))


def reopened(cfg: DictConfig) -> Any:
    """A session on the folder of an earlier run, with its settings, its data where they lie now."""
    from nas.app.reopen import move_data, reopen, saved_config

    folder = resolve(str(cfg.run), str(cfg.runs))
    saved = saved_config(folder, list(cfg.plugins))
    saved.device = cfg.get("device", "cpu")
    move_data(saved, cfg.get("data", {}))
    return reopen(saved, folder)


def _figure(value: float) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if 0 < abs(value) < 0.01 else f"{value:.4f}"  # four digits either way


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


VERBS: Mapping[str, Callable[[DictConfig], float | None]] = {
    "search": search,
    "retrain": retrain,
    "evaluate": evaluate,
    "export": export,
    "bench": bench,
    "bench_build": bench_build,
    "rank": rank,
    "profile": profile,
}
