"""Scores that a published table gives of cells of NAS-Bench-201, where it is there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from nas.batch import Batch
from nas.benchmarks.readers.published import lines_of
from nas.benchmarks.registry import load
from nas.dataspec import DataSpec
from nas.proxies import scores
from search_spaces.nasbench201 import NasBench201Space
from tests.nas.proxies.made import loss


@pytest.mark.data
def test_synflow_norm_and_size_of_some_cells(data_dir: Path) -> None:
    """They need no images; initial weights change the first two by some tenths of a percent."""
    head, lines = lines_of(data_dir, "nb201_zero_cost_proxies.csv.gz")
    table = load("nasbench201", data_dir)
    space = NasBench201Space(DataSpec((3, 32, 32), "classes", 10))
    batch = Batch(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))
    torch.manual_seed(0)
    for line in lines[:6]:
        published = dict(zip(head, line.split(","), strict=True))
        assert published["dataset"] == "cifar10"
        net = space.network(table.genotype(int(published["index"])))
        found = scores(net, batch, loss, ("synflow", "l2_norm", "params"))
        assert math.log(found["synflow"]) == pytest.approx(float(published["synflow"]), rel=0.02)
        assert found["l2_norm"] == pytest.approx(float(published["l2_norm"]), rel=0.01)
        assert found["params"] == pytest.approx(1e6 * float(published["params"]), abs=0.5)
