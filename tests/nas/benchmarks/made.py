"""Small tables whose best architecture and every score are known."""

from __future__ import annotations

from itertools import product

import numpy as np

from nas.benchmarks import Column, SpaceRecord, Table
from nas.decision import Decision

LAYERS = 4
SPACE = SpaceRecord(
    "toy", tuple(Decision(f"layer{i}", ("a", "b", "c")) for i in range(1, LAYERS + 1))
)


def table(noise: float = 1.0, seconds: bool = True) -> Table:
    """All 81 architectures; each ``c`` is worth 5 points more than an ``a``, each ``b`` 2."""
    codes = np.array(list(product(range(3), repeat=LAYERS)), dtype=np.uint8)
    worth = np.array([0.0, 2.0, 5.0])[codes].sum(1) + 60
    generator = np.random.default_rng(0)
    columns, values = [], []
    for epochs in (1, 3, 9):
        for split in ("validation", "test"):
            for seed in (0, 1, 2):
                columns.append(Column("accuracy", "digits", split, epochs, seed))
                values.append(worth + epochs + noise * generator.normal(size=len(codes)))
    columns.append(Column("parameters"))
    values.append(100.0 + codes.sum(1))
    cost = 1.0 + codes.sum(1) if seconds else None
    return Table("toy", SPACE, codes, tuple(columns), np.array(values), cost)


BEST = dict.fromkeys(SPACE.by_name, "c")
