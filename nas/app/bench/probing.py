"""Proxies of many architectures of a table, each kept as soon as it is computed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas import console
from nas.batch import Batch
from nas.benchmarks import Series, Table
from nas.engine.rng import derive_seed
from nas.errors import ConfigError, NasError
from nas.files import append_line, is_file, jsonable, read_bytes, truncate
from nas.proxies import Loss, scores
from nas.space import SearchSpace, check_genotype

Scores = dict[str, float]


@dataclass(frozen=True)
class Probing:
    """What is scored how.

    Attributes:
        table: whose architectures are scored.
        series: the values that the proxies are compared with.
        space: builds the networks.
        batch: one of the data, where the networks are computed.
        loss: of the task.
        names: of the proxies.
        seed: of the initial weights, which follow from it and the architecture's row.
    """

    table: Table
    series: Series
    space: SearchSpace
    batch: Batch
    loss: Loss
    names: tuple[str, ...]
    seed: int

    def drawn(self, n: int) -> list[int]:
        """``n`` rows that have a value, drawn by the seed; the first ones of any larger n.

        Raises ConfigError for fewer than 3, or more than there are.
        """
        there = np.flatnonzero(~np.isnan(self.series.mean))
        if not 3 <= n <= len(there):
            raise ConfigError(
                f"n must lie in 3..{len(there)}, the architectures of table {self.table.name} "
                f"with a value of {self.series.column.text}; got {n}"
            )
        return [int(row) for row in np.random.default_rng(self.seed).permutation(there)[:n]]

    def network(self, row: int) -> nn.Module:
        """The network of a row as its seed initializes it; global generators are left alone."""
        genotype = check_genotype(self.space, self.table.genotype(row))
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(self.seed, "proxies", row))
            return self.space.network(genotype).to(self.batch.inputs.device)

    def scored(self, rows: Sequence[int], file: Path) -> dict[int, Scores]:
        """The proxies of the rows, in their order; those in ``file`` are not computed again.

        Every other one is appended to it, a line for each architecture.
        """
        known = read(file)
        with console.Progress() as progress:
            task = progress.task("proxies", len(rows))
            for row in rows:
                found = known.setdefault(row, {})
                missing = [name for name in self.names if name not in found]
                if missing:
                    found |= scores(self.network(row), self.batch, self.loss, missing)
                    kept = {name: found[name] for name in missing}
                    append_line(file, json.dumps(jsonable({"row": row, "scores": kept})))
                task.advance()
        return {row: {name: known[row][name] for name in self.names} for row in rows}


def read(file: Path) -> dict[int, Scores]:
    """What a file of scores holds by row; a line that a killed process left half is cut off.

    A score that is not finite stands there as null and is read as -inf.
    """
    if not is_file(file):
        return {}
    raw = read_bytes(file)
    truncate(file, raw.rfind(b"\n") + 1)
    found: dict[int, Scores] = {}
    for number, line in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            entry = json.loads(line)
            row, given = int(entry["row"]), entry["scores"].items()
            values = {str(k): -math.inf if v is None else float(v) for k, v in given}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NasError(
                f"{file} is damaged in line {number}: remove the file and repeat the command"
            ) from error
        found.setdefault(row, {}).update(values)
    return found


def columns(found: Mapping[int, Scores], names: Sequence[str]) -> dict[str, list[float]]:
    """The scores of each proxy in the order of the rows; those not finite lie below all others."""
    columns = {}
    for name in names:
        values = [row[name] for row in found.values()]
        finite = [value for value in values if math.isfinite(value)]
        worst = min(finite, default=0.0)
        worst -= abs(worst) + 1
        columns[name] = [value if math.isfinite(value) else worst for value in values]
    return columns
