from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
# As published with PC-DARTS (arXiv:1907.05737): operation and input, two edges per node.
PC_DARTS = {
    "normal": "skip_connect 0 sep_conv_3x3 1 sep_conv_3x3 0 dil_conv_3x3 1 "
    "sep_conv_5x5 0 sep_conv_3x3 1 avg_pool_3x3 0 dil_conv_3x3 1",
    "reduce": "sep_conv_5x5 1 max_pool_3x3 0 sep_conv_5x5 1 sep_conv_5x5 2 "
    "sep_conv_3x3 0 sep_conv_3x3 3 sep_conv_3x3 1 sep_conv_3x3 2",
}


def add_cell(graph: Any, cell: str, edges: list[tuple[str, int, int]], steps: int) -> None:
    """Add a DARTS-like cell; an edge is (operation, input, node), numbered from the two inputs."""
    names = [f"{cell}/c_{{k-2}}", f"{cell}/c_{{k-1}}", *(f"{cell}/{i}" for i in range(steps))]
    for index, name in enumerate(names):
        kind = "input" if index < 2 else "node"
        graph.add_node(name, cell=cell, label=name.partition("/")[2], kind=kind)
    output = f"{cell}/c_{{k}}"
    graph.add_node(output, cell=cell, label="c_{k}", kind="output")
    for operation, source, target in edges:
        graph.add_edge(names[source], names[target], label=operation)
    for name in names[2:]:
        graph.add_edge(name, output, label="")


def random_graph(seed: int, steps: int = 4, distinct: bool = True) -> Any:
    """One random cell; without ``distinct`` both inputs of a node may be the same."""
    draw = random.Random(seed)
    edges = []
    for target in range(2, steps + 2):
        both = [draw.randrange(target), draw.randrange(target)]
        inputs = draw.sample(range(target), 2) if distinct else both
        edges += [(draw.choice(OPERATIONS), source, target) for source in inputs]
    graph = nx.MultiDiGraph()
    add_cell(graph, "normal", edges, steps)
    return graph


@pytest.fixture
def make_cell() -> Callable[..., Any]:
    return random_graph


@pytest.fixture
def pc_darts() -> Any:
    graph = nx.MultiDiGraph()
    for cell, text in PC_DARTS.items():
        words = text.split()
        edges = [(words[i], int(words[i + 1]), i // 4 + 2) for i in range(0, len(words), 2)]
        add_cell(graph, cell, edges, 4)
    return graph


@pytest.fixture
def result() -> dict[str, Any]:
    def network(name: str, accuracy: float) -> dict[str, Any]:
        return {
            "name": name,
            "parameters": 212_340,
            "macs": 3_412_000,
            "seconds": 33.1,
            "train": {"accuracy": 1.0},
            "validation": {"accuracy": 0.99},
            "test": {"accuracy": accuracy, "loss": 0.04, "count": 540},
        }

    return {
        "schema": "nas.result/1",
        "experiment": "pc_darts_digits",
        "space": "darts",
        "strategy": "pc_darts",
        "data": "digits",
        "seed": 0,
        "preset": "cpu",
        "command": "nas search experiment=pc_darts_digits seed=0",
        "genotype_id": "3f2ca0",
        "summary": "sep3 x7 sep5 x4",
        "search": {
            "seconds": 110.0,
            "epochs": 50,
            "steps": 800,
            "supernet_parameters": 53_210,
            "validation": {"accuracy": 0.98},
        },
        "networks": [
            network("found", 0.989),
            *(network(f"random-{i}", 0.983 + 0.003 * i) for i in range(3)),
        ],
        "exports": [
            {
                "format": "safetensors",
                "path": "export/model.safetensors",
                "bytes": 861_234,
                "largest_difference": 0.0,
                "status": "written",
            },
            {"format": "onnx", "status": "not written: install [export]"},
        ],
        "splits": {"weights": 565, "architecture": 565, "validation": 127, "test": 540},
        "counting": "MACs: convolutions and linear layers, one input, batch 1",
        "budget": [{"name": "macs", "limit": 4_000_000, "value": 3_412_000, "met": True}],
    }


@pytest.fixture
def metrics() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for epoch in range(6):
        values = {
            "loss/weights": math.exp(-epoch),
            "accuracy/weights": 1 - math.exp(-epoch),
            "entropy/normal": 2.0 - 0.1 * epoch,
            "skip/normal": 2,
            "lr/weights": 0.1 / (1 + epoch),
        }
        phase = "warmup" if epoch < 2 else "search"
        if phase == "search":
            values["loss/architecture"] = 1.1 * math.exp(-epoch)
        rows.append(_row("search", phase, epoch, values))
    for name in ("found", "random-0"):
        rows += [
            _row(f"retrain/{name}", "retrain", epoch, {"loss/train": math.exp(-epoch)})
            for epoch in range(3)
        ]
    return rows


def _row(stage: str, phase: str, epoch: int, values: dict[str, float]) -> dict[str, Any]:
    return {
        "stage": stage,
        "phase": phase,
        "epoch": epoch,
        "step": 16 * (epoch + 1),
        "seconds": 1.0,
        "metrics": values,
    }
