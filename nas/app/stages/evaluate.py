"""Stage evaluate: the only place that holds the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nas.app.found import read_genotype
from nas.app.session import Session
from nas.build import data_source
from nas.engine.evaluate import evaluate
from nas.errors import NasError
from nas.export.weights import load_weights
from nas.files import read_json, write_json


def evaluate_networks(session: Session) -> None:
    """Loss and metrics of every retrained network on the test split; leaves ``evaluation.json``."""
    records = read_json(session.folder.path / "retrain.json")["networks"]
    test = {record["name"]: test_figures(session, record["name"]) for record in records}
    write_json(session.folder.path / "evaluation.json", {"test": test})


def test_figures(session: Session, name: str) -> Mapping[str, Any]:
    """Loss, metrics and count of one retrained network on the test split."""
    parts = session.parts
    data = data_source(session.cfg).load()
    network = stored_network(session, name).to(parts.device)
    return evaluate(network, data, "test", parts.task, device=parts.device)


def stored_network(session: Session, name: str = "found") -> nn.Module:
    """A retrained network of the run with its stored weights, in eval mode."""
    folder = session.folder.retrain(name)
    if not (folder / "weights.safetensors").is_file():
        raise NasError(
            f"{session.folder.path} holds no retrained network {name!r}; run stage retrain first"
        )
    choices = read_genotype(session, folder / "genotype.json")
    network = session.parts.space.network(choices)
    state, _ = load_weights(folder / "weights.safetensors")
    network.load_state_dict(state)
    return network.eval()
