"""``nas rank``: both scores of every architecture, their agreement, and its files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from omegaconf import DictConfig

from nas import console
from nas.analysis.scatter import scatter_figure
from nas.analysis.svg import svg_bytes
from nas.app.alone import Choices
from nas.app.drawn import drawn
from nas.app.progress import ProgressBars
from nas.app.rank.scores import alone, inherited
from nas.app.rank.settings import Published, Settings, published, settings
from nas.app.reopen import move_data, reopen, saved_config
from nas.app.session import Session
from nas.benchmarks.agreement import Agreement, agreement
from nas.decision import Decision
from nas.errors import ConfigError
from nas.files import jsonable, write_atomic, write_json
from nas.space import decisions_of
from nas.store.folder import RunFolder, resolve

SUPERNET, ALONE, TABLE = "supernet", "alone", "table"


@dataclass(frozen=True)
class Scores:
    """The scores of the architectures by where they come from, each (n,), larger is better."""

    values: Mapping[str, Sequence[float]]
    architectures: Sequence[Choices]

    def agreements(self) -> dict[tuple[str, str], Agreement]:
        """Every pair of scores, the first as the guess and the second as the truth."""
        names = list(self.values)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        return {(a, b): agreement(self.values[a], self.values[b]) for a, b in pairs}


def rank(cfg: DictConfig) -> float | None:
    """Rank random architectures by the run's supernet and by training them alone.

    Returns tau of the two. Raises NasError for a run without a supernet or a setting that is not
    allowed.
    """
    run = resolve(str(cfg.run), str(cfg.runs))
    saved = saved_config(run, list(cfg.plugins))
    if "strategy" not in saved:
        raise ConfigError(f"{run.path} holds no search, so no supernet; name the run of a search")
    wanted = settings(cfg, saved)
    saved.device = cfg.device
    saved.trainer.network_epochs = wanted.epochs
    saved.init = "scratch"  # weights of the supernet would not be a judgement of their own
    move_data(saved, cfg.get("data", {}))
    with reopen(saved, run) as session:
        parts = session.parts
        decisions = decisions_of(parts.space)
        table = published(cfg, decisions)
        todo = drawn(parts.space, wanted.n, wanted.seed, "rank")
        console.table(_plan(run, wanted, table))
        folder = RunFolder(run.path / "rank" / f"e{wanted.epochs}-s{wanted.seed}-{run.hash}")
        inside = _inside(session, folder)
        sign = 1.0 if parts.task.higher_is_better[parts.task.primary] else -1.0
        found = {
            SUPERNET: [sign * value for value in inherited(inside, run, todo, wanted.recalibrate)],
            ALONE: [sign * value for value in alone(inside, todo, wanted.jobs)],
        }
        if table is not None:
            found[TABLE] = [_looked_up(table, choices) for choices in todo]
        metric = parts.task.primary
    scores = Scores(found, todo)
    _write(folder, scores, decisions, metric)
    return _close(folder, scores, wanted)


def _inside(session: Session, folder: RunFolder) -> Session:
    """The same session, training into another folder and without a bar for each network."""
    bars = ProgressBars(session.parts.task.primary, loops=False)
    return replace(session, folder=RunFolder.create(folder.path), bars=bars)


def _plan(run: RunFolder, wanted: Settings, table: Published | None) -> list[tuple[str, str]]:
    rows = [
        ("supernet", str(run.path)),
        ("trained", f"{wanted.n} random architectures alone, {wanted.epochs} epochs each"),
    ]
    return rows + ([] if table is None else [("table", table.series.column.text)])


def _looked_up(table: Published, choices: Choices) -> float:
    known = {name: choice for name, choice in choices.items() if name in table.table.space.by_name}
    sign = 1.0 if table.series.higher_is_better else -1.0
    return sign * float(table.series.mean[table.table.row(known)])


def _write(
    folder: RunFolder, scores: Scores, decisions: Mapping[str, Decision], metric: str
) -> None:
    """``ranks.csv``, ``scatter.svg`` and, last, ``rank.json``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*scores.values, *decisions])
    for place, choices in enumerate(scores.architectures):
        numbers = [f"{values[place]:.6g}" for values in scores.values.values()]
        writer.writerow([*numbers, *(choices.get(name, "") for name in decisions)])
    write_atomic(folder.path / "ranks.csv", text.getvalue())
    labels = (f"{metric}, weights of the supernet", f"{metric}, trained alone")
    title = f"{len(scores.architectures)} random architectures on validation"
    figure = scatter_figure(title, labels, scores.values[SUPERNET], scores.values[ALONE])
    write_atomic(folder.path / "scatter.svg", svg_bytes(figure))
    pairs = {f"{a} to {b}": asdict(found) for (a, b), found in scores.agreements().items()}
    write_json(folder.path / "rank.json", jsonable({"metric": metric, "agreement": pairs}))


def _close(folder: RunFolder, scores: Scores, wanted: Settings) -> float:
    found = scores.agreements()
    rows = [
        (
            f"{a} to {b}",
            _number(each.kendall),
            f"{_number(each.interval[0])} to {_number(each.interval[1])}",
            _number(each.spearman),
            _number(each.kendall_top20),
            f"{each.shared:.3g} of {each.k}",
        )
        for (a, b), each in found.items()
    ]
    console.say()
    heads = ("scores", "kendall", "95 % interval", "spearman", "kendall, top 20 %", "best shared")
    console.table(rows, heads)
    console.say()
    main = found[SUPERNET, ALONE]
    console.say(f"result  {sentence(main)}")
    console.say(f"files   {folder.path}/scatter.svg, ranks.csv, rank.json")
    run = folder.path.parent.parent
    console.say(f"next    nas rank {run} n={2 * wanted.n} epochs={wanted.epochs} · nas show {run}")
    console.emit_if_wanted(
        jsonable(
            {
                "folder": folder.path,
                "n": wanted.n,
                "epochs": wanted.epochs,
                "agreement": {f"{a} to {b}": asdict(each) for (a, b), each in found.items()},
            }
        )
    )
    return main.kendall


def sentence(found: Agreement) -> str:
    """What may be said of a supernet after that many architectures."""
    low, high = found.interval
    if not all(map(math.isfinite, (found.kendall, low, high))):
        return "one of the scores is the same for all architectures: there is no order to compare"
    text = f"tau {found.kendall:.2f} ({low:.2f} to {high:.2f}) over {found.n} architectures"
    if low > 0:
        return f"the supernet orders architectures better than chance: {text}"
    if high < 0:
        return f"the supernet orders architectures worse than chance: {text}"
    return f"no relation between the two orders is shown: {text}"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
