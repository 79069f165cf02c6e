"""Weights that move where earlier architectures do not look (DI-NAS, arXiv 2003.13089)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nas.batch import Batch
from nas.errors import ConfigError
from nas.gradients.banks import Bank, Basis, Dense, numbers
from nas.gradients.layers import Layer, layers_of
from nas.gradients.observer import Observer, Seen
from nas.strategies.base import Phase
from nas.supernet import Supernet

MIB = 2**20


@dataclass(frozen=True)
class Place:
    """Where the projectors of a layer are: rows (blocks,) of the bank of its D."""

    layer: Layer
    bank: Bank
    rows: Tensor


class Orthogonal:
    """Projects what a step changes in a weight on the complement of what its layer read before.

    Around each step ``w -> w + dw`` of the weights' optimizer, whatever gave ``dw`` (momentum,
    weight decay, clipping included), for every convolution and linear layer that has a gradient,

        ``w <- w + dw P``,   then   ``P <- (1 - rho) P + rho I``,
        ``P <- P - P X (alpha I + X^T P X)^{-1} X^T P``

    where X holds patches that the layer read in this step: the recursion of orthogonal weight
    modification (OWM) in block form. A layer is projected from the first time on that it is trained
    behind other choices than before: one that no choice stands in front of, such as the stem, reads
    the same for every architecture and is never projected. The method section of 2003.13089 could
    not be read: how the projectors are fed, forget and are scheduled is our own choice.

    Args:
        supernet: whose weights move.
        optimizer: of these weights.
        epochs: of the search.
        seed: of the patches.
        rank: r, patches per path.
        alpha: in the first epoch; the smaller, the less a weight may change what was read.
        alpha_end: in the last; in between, equal factors.
        leak: rho, how much of the projectors is forgotten per step.
        dense: the largest D with projectors in full.
        basis: columns of the basis that stands for them where D is larger.
        energy: share of the squares of what was read that such a basis has to hold.
        memory_mib: limit of what all projectors take.

    Raises:
        ConfigError: for numbers out of range, or projectors over the limit.
    """

    def __init__(
        self,
        supernet: Supernet,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        seed: int = 0,
        *,
        rank: int = 8,
        alpha: float = 100.0,
        alpha_end: float | None = None,
        leak: float = 0.01,
        dense: int = 1024,
        basis: int = 64,
        energy: float = 0.97,
        memory_mib: float = 1024.0,
    ) -> None:
        _check(rank, alpha, alpha_end, leak, dense, basis, energy)
        self.optimizer, self.epochs, self.rank, self.leak = optimizer, epochs, rank, leak
        self.alphas = (alpha, alpha if alpha_end is None else alpha_end)
        self.alpha = alpha
        layers = layers_of(supernet)
        sizes = [(layer.blocks, layer.size) for layer in layers]
        self.memory = numbers(sizes, dense, basis) * next(supernet.parameters()).element_size()
        self._check_memory(memory_mib)
        self.observer = Observer(supernet, layers, rank, torch.Generator().manual_seed(seed))
        self.banks: dict[int, Bank] = {}
        self._places = list(self._placed(layers, dense, basis, energy))
        self._behind: dict[str, int] = {}  # what was chosen when a layer was first trained
        self._shared: set[str] = set()  # layers that were trained behind different choices
        self._before: list[tuple[Place, Seen, Tensor]] = []
        self._found: dict[str, Tensor] = {}

    def _check_memory(self, limit: float) -> None:
        if self.memory > limit * MIB:
            raise ConfigError(
                f"the projectors would take {self.memory / MIB:.1f} MiB, more than "
                f"memory_mib={limit:g}; raise it, or give fewer layers a projector in full by a "
                "smaller setting dense"
            )

    def _placed(
        self, layers: Sequence[Layer], dense: int, basis: int, energy: float
    ) -> Iterator[Place]:
        """Layers of equal D side by side in one bank."""
        for size in sorted({layer.size for layer in layers}):
            equal = [layer for layer in layers if layer.size == size]
            blocks, like = sum(layer.blocks for layer in equal), equal[0].weight.detach()
            bank: Bank = (
                Dense(blocks, size, like)
                if size <= dense
                else Basis(blocks, size, min(basis, size), energy, like)
            )
            self.banks[size] = bank
            rows = torch.arange(blocks, device=like.device)
            parts = torch.split(rows, [layer.blocks for layer in equal])
            yield from (Place(each, bank, part) for each, part in zip(equal, parts, strict=True))

    def describe(self) -> str:
        """How many layers, and the memory of their projectors."""
        return (
            f"projectors of {len(self._places)} layers take {self.memory / MIB:.1f} MiB, "
            "checkpoints that much more"
        )

    def on_epoch(self, epoch: int) -> None:
        """``alpha (alpha_end / alpha)^p`` at progress p, 0 in the first epoch and 1 in the last."""
        start, end = self.alphas
        self.alpha = start * (end / start) ** (epoch / max(1, self.epochs - 1))

    def around(self, phase: Phase) -> Phase:
        """The same, each step of the optimizer projected; adds ``dinas/...`` to its metrics.

        ``dinas/kept`` is the length of what a step changed in the projected weights over its length
        without projection, ``dinas/projected`` the share of trained layers that were projected,
        ``dinas/free`` the mean eigenvalue of their projectors.
        """
        return replace(phase, step=self._projecting(phase.step))

    def _projecting(self, step: Callable[..., Mapping[str, Tensor]]) -> Callable[..., Any]:
        def projecting(*batches: Batch) -> Mapping[str, Tensor]:
            self._found = {}
            with self._hooked(), self.observer.watching():
                found = step(*batches)
            return {**found, **self._found}

        return projecting

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        handles = [
            self.optimizer.register_step_pre_hook(lambda *_: self._note()),
            self.optimizer.register_step_post_hook(lambda *_: self._project()),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._before = []

    def _note(self) -> None:
        """Before the optimizer: what is trained, and where it starts from."""
        live = [place for place in self._places if place.layer.weight.grad is not None]
        seen = self.observer.seen([place.layer for place in live])
        self._before = [
            (place, seen[place.layer.name], place.layer.weight.detach().clone()) for place in live
        ]

    @torch.no_grad()
    def _project(self) -> None:
        """After the optimizer: project what changed, then learn from what was read."""
        shared = [each for each in self._before if self._by_several(each[0].layer, each[1])]
        kept = [_projected(group) for group in _grouped(shared, _by_shape)]
        if kept:
            was, left = (torch.stack(part).sum() for part in zip(*kept, strict=True))
            ratio = torch.where(was > 0, (left / was).sqrt(), torch.ones_like(was))
            share = len(shared) / len(self._before)
            self._found["dinas/kept"] = ratio
            self._found["dinas/projected"] = torch.tensor(share)
        free = [self._learn(group) for group in _grouped(self._before, _by_columns)]
        if free:
            self._found["dinas/free"] = torch.cat(free).mean()

    def _by_several(self, layer: Layer, seen: Seen) -> bool:
        """Whether a layer has been trained behind different choices, now included."""
        if self._behind.setdefault(layer.name, seen.behind) != seen.behind:
            self._shared.add(layer.name)
        return layer.name in self._shared

    def _learn(self, group: Sequence[tuple[Place, Seen, Tensor]]) -> Tensor:
        """Update the projectors of layers of equal D; their mean eigenvalues."""
        bank, rows = group[0][0].bank, torch.cat([place.rows for place, _, _ in group])
        inputs = torch.cat([seen.inputs for _, seen, _ in group])
        bank.update(rows, inputs, self.alpha, self.leak)
        return bank.free(rows)

    def state_dict(self) -> dict[str, Any]:
        """Projectors, what was chosen when each layer was first trained, the generator."""
        return {
            "banks": {str(size): bank.state_dict() for size, bank in self.banks.items()},
            "behind": dict(self._behind),
            "shared": sorted(self._shared),
            "observer": self.observer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        for size, bank in self.banks.items():
            bank.load_state_dict(state["banks"][str(size)])
        self._behind = {str(name): int(number) for name, number in state["behind"].items()}
        self._shared = set(state["shared"])
        self.observer.load_state_dict(state["observer"])


Trained = tuple[Place, Seen, Tensor]


def _projected(group: Sequence[Trained]) -> tuple[Tensor, Tensor]:
    """Project what changed in weights of one shape; squared lengths before and after."""
    bank, rows = group[0][0].bank, torch.cat([place.rows for place, _, _ in group])
    change = torch.cat(
        [place.layer.matrices(place.layer.weight - before) for place, _, before in group]
    )
    found = bank.project(rows, change)
    parts = torch.split(found, [place.layer.blocks for place, _, _ in group])
    for (place, _, before), part in zip(group, parts, strict=True):
        place.layer.weight.copy_(before + part.reshape(before.shape))
    return change.square().sum(), found.square().sum()


def _grouped(
    trained: Sequence[Trained], key: Callable[[Trained], tuple[int, ...]]
) -> list[list[Trained]]:
    groups: dict[tuple[int, ...], list[Trained]] = {}
    for each in trained:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _by_shape(trained: Trained) -> tuple[int, ...]:
    layer = trained[0].layer
    return layer.size, layer.weight.shape[0] // layer.blocks


def _by_columns(trained: Trained) -> tuple[int, ...]:
    place, seen, _ = trained
    return place.layer.size, sum(each.shape[-1] for each in seen.columns)


def _check(
    rank: int,
    alpha: float,
    alpha_end: float | None,
    leak: float,
    dense: int,
    basis: int,
    energy: float,
) -> None:
    where = "strategy.transforms.dinas"
    for name, whole, least in (("rank", rank, 1), ("dense", dense, 0), ("basis", basis, 1)):
        if not isinstance(whole, int) or isinstance(whole, bool) or whole < least:
            raise ConfigError(
                f"{where}.{name} must be a whole number of at least {least}, got {whole!r}"
            )
    for name, number in (("alpha", alpha), ("alpha_end", alpha_end)):
        if number is not None and not 0.0 < number < float("inf"):
            raise ConfigError(f"{where}.{name} must be a number above 0, got {number!r}")
    if not 0.0 <= leak < 1.0:
        raise ConfigError(f"{where}.leak is a share from 0 to below 1, got {leak!r}")
    if not 0.0 < energy <= 1.0:
        raise ConfigError(f"{where}.energy is a share above 0 and up to 1, got {energy!r}")
