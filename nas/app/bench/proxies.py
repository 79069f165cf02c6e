"""How proxies order the architectures of a table, against its values: figures, file and table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas import console
from nas.app.bench.probing import Probing, columns
from nas.benchmarks.bands import bootstrap_pairs
from nas.benchmarks.correlation import kendall, spearman
from nas.files import as_seen, jsonable, sha256, write_json
from nas.store.identity import canonical_json

SCORES, RESULT = "scores.jsonl", "proxies.json"


def compare(
    probing: Probing, rows: Sequence[int], runs: Path, identity: Mapping[str, Any]
) -> dict[str, Any]:
    """Score the rows, compare, write both files below ``runs`` and print a table.

    Args:
        probing: what is scored how.
        rows: of the table, each with a value.
        runs: where the folder is made that ``identity`` names.
        identity: all that the scores of a row depend on.
    """
    name = probing.table.name
    digest = sha256(canonical_json(jsonable({**identity, "table": name})).encode())[:6]
    folder = as_seen(runs / f"proxies-{name}-{digest}")
    console.table(
        [
            ("plan", f"{', '.join(probing.names)} of {len(rows)} architectures of {name}"),
            ("batch", f"{len(probing.batch.inputs)} samples, weights of seed {probing.seed}"),
            ("against", probing.series.column.text),
            ("files", f"{folder}/{SCORES}, {RESULT}"),
        ]
    )
    found = probing.scored(rows, folder / SCORES)
    told = {
        "folder": folder,
        "table": name,
        "score": probing.series.column.text,
        "architectures": list(rows),
        **identity,
        "proxies": agreement(probing, found),
    }
    write_json(folder / RESULT, told)
    _print(told["proxies"])
    console.emit_if_wanted(told)
    return told


def agreement(probing: Probing, found: Mapping[int, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Rank correlations of every proxy with the table's values, with 95 % bootstrap intervals.

    ``not_finite`` counts the architectures without a finite score, which come last.
    """
    sign = 1 if probing.series.higher_is_better else -1
    truth = sign * probing.series.mean[list(found)]
    rows: list[dict[str, Any]] = []
    taken = {row: dict(scores) for row, scores in found.items()}
    for name, values in columns(taken, probing.names).items():
        lost = sum(not math.isfinite(scores[name]) for scores in taken.values())
        row: dict[str, Any] = {"proxy": name, "not_finite": lost}
        for title, statistic in (("spearman", spearman), ("kendall", kendall)):
            row[title] = statistic(values, truth)
            row[f"{title}_interval"] = bootstrap_pairs(statistic, values, truth)
        rows.append(row)
    return rows


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    def interval(ends: tuple[float, float]) -> str:
        return f"{ends[0]:.3f} to {ends[1]:.3f}"

    cells = (
        (
            row["proxy"],
            f"{row['spearman']:.3f}",
            interval(row["spearman_interval"]),
            f"{row['kendall']:.3f}",
            interval(row["kendall_interval"]),
        )
        for row in rows
    )
    console.say()
    console.table(cells, ("proxy", "spearman", "95 % interval", "kendall", "95 % interval"))
    console.say()
    for row in rows:
        if lost := row["not_finite"]:
            console.say(f"note    {row['proxy']} is not finite for {lost} networks, ranked last")
    console.say("next    nas bench list · nas bench proxies table=nasbench201 dataset=cifar10")
