"""``nas bench proxies``: zero-cost proxies of a table's architectures against their values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import console
from nas.benchmarks.registry import load
from nas.cli import known_spaces
from nas.cli.look import Look
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.app.bench.probing import Probing
    from nas.benchmarks import Query, Table

N, BATCH = 150, 64


def proxies(line: Look, root: Path) -> int:
    """Score, compare, write and print; a stopped line goes on where it was."""
    from nas.app.bench.proxies import compare
    from nas.app.bench.settings import query_of
    from nas.proxies import DEFAULT, known

    given = line.settings
    if line.word(1):
        raise ConfigError(f"unexpected {line.word(1)!r}; nas bench proxies takes settings only")
    text = given.get("proxies", "").strip("[]")
    names = known(name.strip() for name in text.split(",")) if text else DEFAULT
    n, batch, seed = (_whole(given, *pair) for pair in (("n", N), ("batch", BATCH), ("seed", 0)))
    epochs = _whole(given, "epochs", 0) or None
    table = load(given.get("table", "chain"), root)
    metric = given.get("metric", "accuracy")
    split = given.get("split", _split(table, metric))
    query = query_of(table, metric, given.get("dataset"), split, epochs)
    data = given.get("data", "digits" if table.space.name == "chain" else "cifar10")
    words = (f"data={data}", f"preset={given.get('preset', 'cpu')}")
    probing, identity = probing_of(table, query, words, names, batch, seed, line.plugins)
    console.configure(json=line.json)
    try:
        compare(probing, probing.drawn(n), Path(line.runs) / "bench", identity)
    finally:
        console.configure()
    return 0


def probing_of(
    table: Table,
    query: Query,
    words: tuple[str, ...],
    names: tuple[str, ...],
    batch: int,
    seed: int,
    plugins: tuple[str, ...] = (),
) -> tuple[Probing, dict[str, Any]]:
    """How a table's networks are scored with the settings ``words``, and what names the scores.

    Raises NasError for a setting that is not allowed, or data that are not there.
    """
    from omegaconf import OmegaConf

    from nas.app.bench.probing import Probing
    from nas.benchmarks.query import select
    from nas.build import Parts, data_source
    from nas.data import Batches
    from nas.engine.device import set_threads

    series = select(table, query)
    if not known_spaces.buildable(table.space.name, plugins):
        raise ConfigError(
            f"table {table.name} is of space {table.space.name!r}, whose networks nas does not "
            f"have; if it is a module of yours, add plugins=[{table.space.name}]"
        )
    cfg = known_spaces.find(table.space.name, plugins).settings(*words)
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    set_threads(cfg.threads, parts.data.spec.size)
    stream = Batches(
        parts.samples,
        parts.data.indices("weights"),
        batch_size=batch,
        seed=seed,
        name="proxies",
        device=parts.device,
    )
    loss = parts.task.loss
    probing = Probing(table, series, parts.space, stream.batch(0, 0), loss, names, seed)
    nodes = {group: OmegaConf.to_container(cfg[group], resolve=True) for group in ("space", "task")}
    return probing, {**nodes, "data": parts.data.fingerprint, "batch": batch, "seed": seed}


def _split(table: Table, metric: str) -> str | None:
    """The split that searches see, where the table has it of this metric."""
    splits = {column.split for column in table.columns if column.metric == metric}
    return "validation" if "validation" in splits else None


def _whole(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(f"{name} must be a whole number, got {text!r}")
    return int(text)
