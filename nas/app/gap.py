"""How far the supernet is from what is derived from it (arXiv 2008.01475)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from nas.app.candidates import calibration_batches
from nas.app.session import Session
from nas.app.stages.search import validation
from nas.arch import from_genotype
from nas.decision import Genotype
from nas.engine.evaluate import evaluate
from nas.engine.path_score import path_of
from nas.files import read_json, write_json
from nas.strategies import ScoresPaths

FILE = "gap.json"
CALIBRATION = 8  # training batches, where the strategy's derivation does not say how many


def measure_gap(session: Session, choices: Genotype) -> None:
    """Leave ``gap.json``: the task's metric on validation, with one set of weights three times.

    ``supernet`` under the policy's probabilities, where a genotype is derived from these;
    ``inherited`` along the derived path with the supernet's batch-norm statistics, ``recalibrated``
    with statistics of the path's own. The discretization gap is the first less the second, and 0 if
    the policy is one-hot.
    """
    parts, supernet = session.parts, session.parts.supernet
    scored = parts.derivation if isinstance(parts.derivation, ScoresPaths) else None
    training = calibration_batches(parts, scored.calibration if scored else CALIBRATION)
    frozen = supernet.freeze(from_genotype(supernet.decisions, choices)).eval()
    metric = parts.task.primary

    def seen(network: nn.Module) -> float:
        network = network.to(parts.device)
        found = evaluate(network, parts.samples, "validation", parts.task, device=parts.device)
        return found[metric]

    figures = {
        "metric": metric,
        "supernet": validation(parts)[metric] if parts.derivation is None else None,
        "inherited": seen(frozen),
        "recalibrated": seen(path_of(supernet, choices, training)),
    }
    write_json(session.folder.path / FILE, figures)


def gap(session: Session, networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``measure_gap`` left and the ``retrained`` network's figure; empty without a search."""
    path = session.folder.path / FILE
    if not path.is_file():
        return {}
    found: dict[str, Any] = read_json(path)
    retrained = [each["validation"] for each in networks if each["name"] == "found"]
    return {**found, "retrained": retrained[0][found["metric"]] if retrained else None}
