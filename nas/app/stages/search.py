"""Stage search: train the supernet and its policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from nas import console
from nas.app.budgeted import outlook
from nas.app.extend import extend
from nas.app.found import write_genotype
from nas.app.session import Session
from nas.arch import entropies
from nas.build import Parts
from nas.costs import count_parameters
from nas.decision import Genotype
from nas.engine.checkpoint import Checkpointer
from nas.engine.device import peak_memory
from nas.engine.evaluate import evaluate
from nas.engine.loop import Job
from nas.engine.path_score import path_of
from nas.engine.rng import derive_seed
from nas.files import write_json
from nas.space import discretize, sample


def search(session: Session) -> None:
    """Run the strategy; leaves ``genotypes/``, the last checkpoint and ``search.json``.

    A strategy that trains no supernet leaves ``search.json`` alone, whose figures are 0.
    """
    parts, cfg = session.parts, session.cfg
    if rows := outlook(parts):
        console.table(rows)
    extend(session)
    if not parts.searches:
        nothing = dict.fromkeys(("seconds", "steps", "epochs", *_SIZES), 0)
        write_json(session.folder.path / "search.json", nothing)
        return
    update = parts.update
    if parts.ungraphed:
        console.say(f"note    the search runs without a CUDA graph: {parts.ungraphed}")
    for name, transform in parts.transforms.items():
        console.say(f"note    {name}: {transform.describe()}")
    job = Job(
        stage="search",
        update=update,
        epochs=cfg.trainer.epochs,
        streams=parts.streams(),
        schedules=parts.schedules,
        seed=cfg.seed,
        observe=EpochEdge(session),
    )
    outcome = session.loop(job)
    write_json(
        session.folder.path / "search.json",
        {
            "seconds": outcome.seconds,
            "steps": outcome.steps,
            "epochs": cfg.trainer.epochs,
            **dict(zip(_SIZES, _sizes(parts), strict=True)),
            "peak_memory": peak_memory(parts.device),
            "validation": validation(parts),
        },
    )


_SIZES = ("supernet_parameters", "architecture_parameters")


def _sizes(parts: Parts) -> tuple[int, int]:
    logits = sum(parameter.numel() for parameter in parts.policy.parameters())
    return count_parameters(parts.supernet), logits


def ended(session: Session) -> bool:
    """Bring supernet and policy to where the search ended; False if its last checkpoint is lost."""
    loaded = Checkpointer(session.folder.checkpoints("search"), session.hash).latest()
    if loaded is None or loaded.epoch < int(session.cfg.trainer.epochs):
        return False
    session.parts.update.load_state_dict(loaded.state["update"])
    return True


def validation(parts: Parts) -> Mapping[str, float]:
    """Loss and metrics of the supernet on the validation split.

    Under the policy's probabilities; where the genotype is not derived from these, along one path,
    with each batch normalized by itself: the one that the policy prefers, or where it learns
    nothing the same in every epoch.
    """
    if parts.derivation is not None:
        path = path_of(parts.supernet, _validation_path(parts))
        return evaluate(path, parts.samples, "validation", parts.task, device=parts.device)
    arch = parts.policy.probabilities()
    return evaluate(
        parts.supernet,
        parts.samples,
        "validation",
        parts.task,
        device=parts.device,
        call=lambda inputs: parts.supernet(inputs, arch),
    )


def _validation_path(parts: Parts) -> Genotype:
    if parts.learns:
        return discretize(parts.space, parts.policy.probabilities())
    seed = derive_seed(parts.cfg.seed, "validation path")
    return sample(parts.space, torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class EpochEdge:
    """Measures the supernet and keeps the genotype of every epoch, if there is one yet."""

    session: Session

    def __call__(self, phase: str, epoch: int) -> Mapping[str, float]:
        """Validation figures, learning rate; of a policy that learns, entropies and skips too."""
        parts = self.session.parts
        derived = parts.derivation is None or parts.learns
        learnt = self._learnt(epoch) if derived else {}
        found = validation(parts)
        rates = [float(group["lr"]) for group in parts.weights_optimizer.param_groups]
        return {
            **{f"{name}/validation": v for name, v in found.items() if name != "count"},
            **learnt,
            "lr/weights": rates[0],
        }

    def _learnt(self, epoch: int) -> Mapping[str, float]:
        parts = self.session.parts
        arch = parts.policy.probabilities()
        choices = discretize(parts.space, arch)
        write_genotype(self.session, choices, self.session.folder.genotype_at(epoch), epoch)
        self.session.board.weights(arch, epoch)
        spread = {f"entropy/{prefix}": value for prefix, value in entropies(arch).items()}
        return {**spread, **_skips(choices)}


def _skips(choices: Mapping[str, object]) -> dict[str, float]:
    """How many chosen operations are skip connections, by the first part of their names."""
    found: dict[str, float] = {}
    for name, choice in choices.items():
        if isinstance(choice, str):
            key = f"skip/{name.split('/')[0]}"
            found[key] = found.get(key, 0.0) + (choice == "skip_connect")
    return found
