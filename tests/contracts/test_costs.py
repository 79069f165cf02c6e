"""The contracts of costs and tasks: good ones pass, every fault is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nas.costs import Cost, Macs, Parameters, Size
from nas.dataspec import DataSpec
from nas.space import SearchSpace, blueprint
from nas.tasks import Classification, Task
from nas.testing import check_cost, check_task, toys
from search_spaces.darts import DartsSpace
from tests.contracts import broken_updates as broken

SMALL = {"channels": 4, "cells": 3, "network_channels": 4, "network_cells": 3}
DATA = DataSpec((3, 8, 8), "classes", 5)
OPERATIONS = ("none", "skip_connect", "sep_conv_3x3")
SPACES: dict[str, SearchSpace] = {
    **toys.every(),
    "darts, summed": DartsSpace(DATA, nodes=1, operations=OPERATIONS, **SMALL),
    "darts": DartsSpace(DATA, nodes=2, **SMALL),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_parameters_bytes_and_macs_pass(space: Any) -> None:
    check_cost(Parameters(blueprint(space)), space)
    check_cost(Size(blueprint(space)), space)
    if not isinstance(space, toys.Hard):
        check_cost(Macs(blueprint(space), space.data.input_shape), space)


def test_a_cost_of_ones_own_needs_its_count() -> None:
    cost = broken.Unknown(toys.Edges())
    check_cost(cost, toys.Edges(), count=lambda net: sum(p.numel() for p in net.parameters()))
    with pytest.raises(AssertionError, match=r"needs count=\.\.\., the exact 'latency'"):
        check_cost(cost, toys.Edges())


BROKEN: dict[str, tuple[Callable[[SearchSpace], Cost], str]] = {
    "ignores edges": (broken.cost_of_all_edges, "expects .* but the average over all genotypes"),
    "one candidate": (broken.cost_of_first, "where the built network has"),
    "no unit": (broken.NoUnit, "needs a unit"),
    "no gradient": (broken.Detached, "the gradient of cost 'params' .* is zero"),
    "a vector": (broken.Vector, "without axes"),
    "no expectation": (broken.Likeliest, "expects"),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_faults_of_costs_are_found(make: Callable[[SearchSpace], Cost], sentence: str) -> None:
    space = toys.Edges()
    with pytest.raises(AssertionError, match=sentence):
        check_cost(make(space), space)


def test_a_missing_gradient_is_found_in_a_large_space_too() -> None:
    space = DartsSpace(DATA, nodes=2, **SMALL)
    with pytest.raises(AssertionError, match="but its gradient to it is zero"):
        check_cost(broken.Detached(space), space)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_passes(smoothing: float) -> None:
    check_task(Classification(smoothing))
    check_task(Classification(smoothing), DataSpec((2, 30), "classes", 3))


BROKEN_TASKS: dict[str, tuple[Callable[[], Any], str]] = {
    "sum": (broken.SumLoss, "the loss is not a mean"),
    "no gradient": (broken.Unlearnable, "cannot be differentiated"),
    "wrong way": (broken.WrongWay, "which higher_is_better calls worse"),
    "primary": (broken.NoPrimary, "'error' is not among accuracy"),
    "names": (broken.OtherMetrics, r"metrics\(\) gives \['top1'\]"),
    "count": (broken.CountMetric, "metric 'accuracy' is not a mean"),
    "graph": (broken.GraphMetric, "outside the graph"),
    "refusal": (broken.WrongRefusal, "with a NasError"),
    "refuses all": (broken.RefusesAll, "refuses every kind"),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN_TASKS.values(), ids=BROKEN_TASKS.keys())
def test_faults_of_tasks_are_found(make: Callable[[], Task], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_task(make())


def test_a_task_for_other_data_is_told() -> None:
    with pytest.raises(AssertionError, match="refuses the data"):
        check_task(Classification(), DataSpec((3, 8, 8), "image", 3))
