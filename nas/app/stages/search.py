"""Stage search: train the supernet and its policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas import console
from nas.app.extend import extend
from nas.app.found import write_genotype
from nas.app.session import Session
from nas.arch import entropies
from nas.build import Parts
from nas.costs import count_parameters
from nas.engine.checkpoint import Checkpointer
from nas.engine.device import peak_memory
from nas.engine.evaluate import evaluate
from nas.engine.loop import Job
from nas.files import write_json
from nas.space import discretize


def search(session: Session) -> None:
    """Run the strategy; leaves ``genotypes/``, the last checkpoint and ``search.json``."""
    parts, cfg = session.parts, session.cfg
    extend(session)
    update = parts.update
    if parts.ungraphed:
        console.say(f"note    the search runs without a CUDA graph: {parts.ungraphed}")
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
            "supernet_parameters": count_parameters(parts.supernet),
            "architecture_parameters": sum(p.numel() for p in parts.policy.parameters()),
            "peak_memory": peak_memory(parts.device),
            "validation": validation(parts),
        },
    )


def ended(session: Session) -> bool:
    """Bring supernet and policy to where the search ended; False if its last checkpoint is lost."""
    loaded = Checkpointer(session.folder.checkpoints("search"), session.hash).latest()
    if loaded is None or loaded.epoch < int(session.cfg.trainer.epochs):
        return False
    session.parts.update.load_state_dict(loaded.state["update"])
    return True


def validation(parts: Parts) -> Mapping[str, float]:
    """Loss and metrics of the supernet under the policy's probabilities on the validation split."""
    arch = parts.policy.probabilities()
    return evaluate(
        parts.supernet,
        parts.samples,
        "validation",
        parts.task,
        device=parts.device,
        call=lambda inputs: parts.supernet(inputs, arch),
    )


@dataclass(frozen=True)
class EpochEdge:
    """Measures the supernet and keeps the genotype of every epoch."""

    session: Session

    def __call__(self, phase: str, epoch: int) -> Mapping[str, float]:
        """Validation figures, entropies, share of skips, learning rate."""
        parts = self.session.parts
        arch = parts.policy.probabilities()
        choices = discretize(parts.space, arch)
        write_genotype(self.session, choices, self.session.folder.genotype_at(epoch), epoch)
        self.session.board.weights(arch, epoch)
        found = validation(parts)
        rates = [float(group["lr"]) for group in parts.weights_optimizer.param_groups]
        return {
            **{f"{name}/validation": v for name, v in found.items() if name != "count"},
            **{f"entropy/{prefix}": value for prefix, value in entropies(arch).items()},
            **_skips(choices),
            "lr/weights": rates[0],
        }


def _skips(choices: Mapping[str, object]) -> dict[str, float]:
    """How many chosen operations are skip connections, by the first part of their names."""
    found: dict[str, float] = {}
    for name, choice in choices.items():
        if isinstance(choice, str):
            key = f"skip/{name.split('/')[0]}"
            found[key] = found.get(key, 0.0) + (choice == "skip_connect")
    return found
