"""Stage retrain: train the found network alone, and random ones of equal MACs alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas import console
from nas.app.found import read_genotype, write_genotype
from nas.app.inherit import inherit
from nas.app.low_rank import shrink, trained_rank
from nas.app.session import Session
from nas.costs import count_macs, count_parameters
from nas.decision import Choice
from nas.engine.evaluate import evaluate
from nas.engine.loop import Job, Observer
from nas.engine.rng import derive_seed, seed_everything
from nas.export.weights import save_weights
from nas.files import read_json, write_json
from nas.space import sample

DRAWS = 2000  # random genotypes looked at before the nearest ones are taken


def retrain(session: Session) -> None:
    """Train every network that is not trained yet; leaves ``retrain/*`` and ``retrain.json``."""
    genotypes = {"found": read_genotype(session, session.folder.genotype)}
    genotypes |= random_peers(session, genotypes["found"])
    records = [train_one(session, name, choices) for name, choices in genotypes.items()]
    write_json(session.folder.path / "retrain.json", {"networks": records})


def random_peers(session: Session, found: Mapping[str, Choice]) -> dict[str, dict[str, Choice]]:
    """Random genotypes whose MACs are within the tolerance of the found one's; the first drawn.

    Where too few are within it, the nearest ones drawn are taken; their MACs are in every table.
    """
    trainer, parts = session.cfg.trainer, session.parts
    wanted = int(trainer.random_networks)
    if wanted == 0:
        return {}
    generator = torch.Generator().manual_seed(derive_seed(session.cfg.seed, "random networks"))
    target = parts.cost_of(found)["macs"]
    equal: list[dict[str, Choice]] = []
    others: list[tuple[float, int, dict[str, Choice]]] = []
    for draw in range(DRAWS):
        choices = sample(parts.space, generator)
        off = abs(parts.cost_of(choices)["macs"] / target - 1)
        if choices == found or choices in equal:
            continue
        if off <= trainer.macs_tolerance:
            equal.append(choices)
        else:
            others.append((off, draw, choices))
        if len(equal) == wanted:
            break
    if len(equal) < wanted:
        console.warn(
            f"only {len(equal)} of {wanted} random cells in {DRAWS} drawn are within "
            f"{trainer.macs_tolerance:.0%} of the found cell's MACs; the nearest others are taken"
        )
    nearest = [choices for _, _, choices in sorted(others, key=lambda other: other[:2])]
    return {f"random-{i}": c for i, c in enumerate([*equal, *nearest][:wanted])}


Watch = Callable[[nn.Module, Path], Observer]
"""From a network about to be trained, and its folder, to what looks at it after every epoch."""


def train_one(
    session: Session, name: str, choices: Mapping[str, Choice], watch: Watch | None = None
) -> Mapping[str, Any]:
    """Train one genotype's network; leaves its weights, genotype and figures."""
    parts, folder = session.parts, session.folder.retrain(name)
    if (folder / "result.json").is_file():
        return dict(read_json(folder / "result.json"))
    stage = f"retrain/{name}"
    # The same initial random numbers for every network: retrained alike.
    seed_everything(session.cfg.seed, "network")
    network = parts.space.network(choices)
    if session.cfg.get("init") == "inherit":
        inherit(session, network, choices)
    low_rank = trained_rank(session.cfg, network)
    job = parts.retraining(network, low_rank)
    if job.ungraphed:
        console.say(f"note    {stage} runs without a CUDA graph: {job.ungraphed}")
    outcome = session.loop(
        Job(
            stage=stage,
            update=job.update,
            epochs=job.epochs,
            streams=job.streams,
            schedules=job.schedules,
            seed=session.cfg.seed,
            **({} if watch is None else {"observe": watch(network, folder)}),
        )
    )
    if low_rank is not None:
        network = shrink(network, low_rank, parts.space, choices, folder).to(parts.device)
    validation = evaluate(network, parts.samples, "validation", parts.task, device=parts.device)
    file = write_genotype(session, choices, folder / "genotype.json")
    text = (folder / "genotype.json").read_text(encoding="utf-8")
    save_weights(folder / "weights.safetensors", network.state_dict(), text)
    shape = parts.data.spec.input_shape
    record = {
        "name": name,
        "genotype": file.id,
        "parameters": count_parameters(network),
        "macs": count_macs(network, shape),
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "validation": validation,
    }
    write_json(folder / "result.json", record)
    return record
