"""A search on a toy space without files: what the checks of update rules run."""

from __future__ import annotations

import copy
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.arch import from_genotype
from nas.batch import Batch
from nas.decision import Choice, Genotype
from nas.objectives import Objective
from nas.policies import Policy
from nas.searchable import apply_partial_channels
from nas.space import discretize, enumerate_genotypes
from nas.strategies import Phase, Update
from nas.supernet import Supernet
from nas.tasks import Classification
from nas.testing.common import attempting, require
from nas.testing.policy import MakePolicy
from nas.testing.states import seed_all
from nas.testing.toys import Planted

MakeUpdate = Callable[..., Update]
Metrics = list[dict[str, float]]
STEPS = 4  # of an epoch
BATCH = 32
ENOUGH = 512  # samples by which two paths are compared
# With these every search of Bilevel's finds the best genotype of a toy, seeds 0 to 9, in 8 epochs.
WEIGHTS_RATE, ARCHITECTURE_RATE = 0.3, 0.05


@dataclass(frozen=True)
class Position:
    """One step of a search."""

    phase: Phase
    epoch: int
    step: int


@dataclass(frozen=True)
class Bench:
    """Builds searches that differ in their seed and learning rates alone."""

    space: Planted
    make: MakeUpdate
    make_policy: MakePolicy
    partial_channels: int | None
    edge_weights: bool

    def rig(
        self,
        seed: int,
        *,
        weights_rate: float = WEIGHTS_RATE,
        architecture_rate: float = ARCHITECTURE_RATE,
        dtype: torch.dtype = torch.float32,
    ) -> Rig:
        """A search before its first step; the global generators are seeded with ``seed``."""
        seed_all(seed)
        net = self.space.supernet()
        if self.partial_channels is not None:
            apply_partial_channels(net, self.partial_channels)
        supernet = Supernet(net).to(dtype)
        owned = {
            name: decision
            for name, decision in supernet.decisions.items()
            if self.edge_weights or name not in supernet.optional
        }
        policy = self.make_policy(owned, seed)
        if isinstance(policy, torch.nn.Module):
            policy.to(dtype)
        weights = torch.optim.SGD(
            supernet.parameters(), weights_rate, momentum=0.9, weight_decay=1e-3
        )
        logits = list(policy.parameters())
        given = logits or [torch.nn.Parameter(torch.zeros(1))]
        architecture = torch.optim.Adam(given, architecture_rate, betas=(0.5, 0.999))
        with attempting("making the update rule"):
            update = self.make(
                supernet=supernet,
                policy=policy,
                objective=Objective(Classification()),
                weights_optimizer=weights,
                autocast=nullcontext,
                **({"architecture_optimizer": architecture} if logits else {}),
            )
        return Rig(self, supernet, policy, update, weights, architecture)

    def batch(self, seed: int, stream: str, epoch: int, step: int, variant: int = 0) -> Batch:
        """A batch that depends on its place alone."""
        place = zlib.crc32(f"{seed} {stream} {epoch} {step} {variant}".encode())
        return self.space.batch(BATCH, torch.Generator().manual_seed(place))


@dataclass
class Rig:
    """One search."""

    bench: Bench
    supernet: Supernet
    policy: Policy
    update: Update
    weights_optimizer: torch.optim.Optimizer
    architecture_optimizer: torch.optim.Optimizer
    data_seed: int = 0

    def positions(self, epochs: int) -> Iterator[Position]:
        """Every step of a search over ``epochs`` epochs."""
        epoch = 0
        for phase in self.update.phases(epochs):
            for _ in range(phase.epochs):
                yield from (Position(phase, epoch, step) for step in range(STEPS))
                epoch += 1

    def run(
        self,
        epochs: int,
        start: int = 0,
        end: int | None = None,
        vary: Mapping[str, int] | None = None,
    ) -> Metrics:
        """Steps ``start`` to ``end`` of a search over ``epochs`` epochs; returns their metrics.

        ``vary`` gives some streams other data.
        """
        found: Metrics = []
        for position in list(self.positions(epochs))[start:end]:
            found.append(self._step(position, vary or {}))
        return found

    def _step(self, position: Position, vary: Mapping[str, int]) -> dict[str, float]:
        phase = position.phase
        batches = [
            self.bench.batch(self.data_seed, name, position.epoch, position.step, vary.get(name, 0))
            for name in phase.streams
        ]
        where = f"step {position.step} of epoch {position.epoch}, phase {phase.name!r}"
        with attempting(where):
            found = phase.step(*self._cast(batches))
        for name, value in found.items():
            require(
                value.shape == () and not value.requires_grad and bool(value.isfinite()),
                f"{where}: metric {name!r} must be one finite number outside the graph",
            )
        return {name: float(value) for name, value in found.items()}

    def _cast(self, batches: list[Batch]) -> list[Batch]:
        dtype = next(self.supernet.parameters()).dtype
        return [Batch(inputs.to(dtype), targets) for inputs, targets in batches]

    def weights(self) -> dict[str, Tensor]:
        """Copies of the weights."""
        return {name: p.detach().clone() for name, p in self.supernet.named_parameters()}

    def logits(self) -> dict[str, Tensor]:
        """Copies of the architecture parameters."""
        return {str(i): p.detach().clone() for i, p in enumerate(self.policy.parameters())}

    def genotype(self) -> dict[str, Choice]:
        """What the search has found so far.

        Where the policy has nothing to learn it is the path with the least loss of all.
        """
        with attempting("deriving the genotype"):
            if self.logits():
                return discretize(self.bench.space, self.policy.probabilities())
            return self._best_path()

    def _best_path(self) -> dict[str, Choice]:
        """On one batch, which is normalized by itself."""
        batch = self.bench.space.batch(ENOUGH, torch.Generator().manual_seed(self.data_seed))
        supernet = copy.deepcopy(self.supernet).train()

        def loss(genotype: Genotype) -> float:
            output = supernet(batch.inputs, from_genotype(supernet.decisions, genotype))
            return float(Classification().loss(output, batch.targets))

        with torch.no_grad():
            return min(enumerate_genotypes(self.bench.space), key=loss)

    def digest(self) -> dict[str, str]:
        """Hashes of all that a search leaves behind."""
        return {
            "weights": _hash(self.supernet.state_dict()),
            "logits": _hash(self.logits()),
        }


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
