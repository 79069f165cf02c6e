"""One training of a table: what is recorded on the way, after it, and on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from nas.app.alone import Training
from nas.app.session import Session
from nas.app.stages.evaluate import network_in
from nas.app.stages.retrain import train_one
from nas.build import Parts
from nas.data import ArrayData
from nas.engine.evaluate import evaluate
from nas.engine.loop import Observer
from nas.files import read_json, write_json

LENGTHS, TEST = "lengths.json", "test.json"


def train(session: Session, training: Training) -> None:
    """Train a network and keep its validation figures after the lengths that the settings name."""
    lengths = [int(epochs) for epochs in session.cfg.lengths]

    def watch(network: nn.Module, folder: Path) -> Observer:
        return _recorder(session.parts, network, folder / LENGTHS, lengths)

    train_one(session, training.name, training.choices, watch)


def _recorder(parts: Parts, network: nn.Module, file: Path, lengths: Sequence[int]) -> Observer:
    def observe(phase: str, epoch: int) -> Mapping[str, float]:
        if epoch + 1 in lengths:
            known = read_json(file) if file.is_file() else {}
            found = evaluate(network, parts.samples, "validation", parts.task, device=parts.device)
            write_json(file, {**known, str(epoch + 1): found})
        return {}

    return observe


def test_figures(session: Session, training: Training, data: ArrayData) -> Mapping[str, Any]:
    """Loss and metrics of a trained network on the test split; kept beside its weights."""
    file = session.folder.retrain(training.name) / TEST
    if not file.is_file():
        parts = session.parts
        network = network_in(session.folder, parts.space, training.name).to(parts.device)
        write_json(file, evaluate(network, data, "test", parts.task, device=parts.device))
    return dict(read_json(file))


def figures(session: Session, training: Training, last: int) -> Mapping[int, Mapping[str, float]]:
    """Validation figures of a training by its epochs, those after the last one included."""
    folder = session.folder.retrain(training.name)
    known = read_json(folder / LENGTHS) if (folder / LENGTHS).is_file() else {}
    found = {int(epochs): values for epochs, values in known.items()}
    return {**found, last: read_json(folder / "result.json")["validation"]}
