"""Stage evaluate: the only place that holds the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nas.app.candidates import calibration_batches
from nas.app.found import checked_genotype, read_genotype
from nas.app.given import find_genotype
from nas.app.inherit import trained_supernet
from nas.app.located import locate
from nas.app.low_rank import network_of
from nas.app.session import Session
from nas.arch import from_genotype
from nas.build import data_source
from nas.engine.evaluate import evaluate
from nas.engine.path_score import path_of
from nas.errors import NasError
from nas.export.weights import load_weights
from nas.files import read_json, write_json
from nas.space import SearchSpace
from nas.store.folder import RunFolder
from nas.strategies import ScoresPaths


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


def supernet_figures(session: Session, genotype: str | None) -> dict[str, dict[str, float]]:
    """Figures of the run's supernet cut down to a genotype, by default to the one it found.

    Its batch-norm statistics are those that the run's paths were scored with, where its strategy
    scored paths. Returns loss, metrics and count on the splits ``validation`` and ``test``.
    """
    parts, folder = session.parts, session.folder
    if genotype is None:
        choices = read_genotype(session, folder.genotype)
    else:
        runs = str(folder.path.parent.parent)
        choices = find_genotype(session, genotype, locate(genotype, runs), runs)
    data = data_source(session.cfg).load()
    supernet = trained_supernet(folder, session)
    if isinstance(parts.derivation, ScoresPaths):
        training = calibration_batches(parts, parts.derivation.calibration)
        network = path_of(supernet, choices, training).to(parts.device)
    else:
        network = supernet.freeze(from_genotype(supernet.decisions, choices)).to(parts.device)
    return {
        split: evaluate(network, data, split, parts.task, device=parts.device)
        for split in ("validation", "test")
    }


def stored_network(session: Session, name: str = "found") -> nn.Module:
    """A retrained network of the run with its stored weights, in eval mode."""
    return network_in(session.folder, session.parts.space, name)


def network_in(folder: RunFolder, space: SearchSpace, name: str) -> nn.Module:
    """A retrained network in a run's folder, in eval mode.

    Raises NasError where there is none of that name, or its files are damaged.
    """
    place = folder.retrain(name)
    if not (place / "weights.safetensors").is_file():
        raise NasError(
            f"{folder.path} holds no retrained network {name!r}; run stage retrain first"
        )
    network = network_of(space, checked_genotype(space, place / "genotype.json"), place)
    state, _ = load_weights(place / "weights.safetensors")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise NasError(
            f"{place / 'weights.safetensors'} does not fit the network of its run's settings; "
            "retrain it"
        ) from error
    return network.eval()
