"""How much of the data goes to which split: one definition for every data set."""

# torch is imported by the methods alone: settings are checked while a run folder is named.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import NasError

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("train", "validation", "test")
"""How data come divided by their makers; ``Samples.parts`` holds positions in it."""
TRAIN, VALIDATION, TEST = range(3)
HELD_BACK = {"test": 0.2, "validation": 0.1}
"""Shares held back where neither the data nor the settings have such a part."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the splits; whole numbers are samples, numbers with a point are shares.

    Args:
        source: name of the data, for messages.
        test: held back for ``evaluate``: samples, or a share of the training part. None takes the
            part that the data come with, else a share of 0.2.
        validation: the same for choices between trained networks; None ends in a share of 0.1.
        architecture: samples that train the architecture, or their share of what test and
            validation leave; the others train the weights.
        split_seed: seed of every choice made here, apart from the seed of the run.
        samples: of the training part, larger ones being cut down to so many; other parts are cut
            in proportion.

    Raises:
        NasError: if an argument is not allowed.
    """

    source: str
    test: float | None = None
    validation: float | None = None
    architecture: float = 0.5
    split_seed: int = 0
    samples: int | None = None

    def __post_init__(self) -> None:
        for name in ("test", "validation", "architecture"):
            value = getattr(self, name)
            none = value is None and name != "architecture"
            if not none and not _allowed(value):
                raise self._refused(
                    name, "a whole number of samples of at least 1, or a share between 0 and 1"
                )
        if not _whole(self.split_seed):
            raise self._refused("split_seed", "a whole number")
        if self.samples is not None and not (_whole(self.samples) and self.samples >= 1):
            raise self._refused("samples", "a whole number of at least 1, or null for all")

    def _refused(self, name: str, allowed: str) -> NasError:
        value = getattr(self, name)
        return NasError(f"{self.source}: {name} must be {allowed}, got {value!r}; set data.{name}")

    def held_back(
        self, train: int, official: Sequence[str] = (), classes: int = 1
    ) -> dict[str, int]:
        """Samples of the training part for those of test and validation that are not official.

        Raises:
            NasError: if a setting contradicts what the data come with, or weights or architecture
                would get fewer samples than there are classes.
        """
        found = {}
        for name in ("validation", "test"):
            given = getattr(self, name)
            if name in official and given is not None:
                raise NasError(
                    f"{self.source}: the data have a {name} part of their own, so data.{name}="
                    f"{given} would have no effect; set data.{name}=null"
                )
            if name not in official:
                size = HELD_BACK[name] if given is None else given
                found[name] = size if isinstance(size, int) else max(1, round(size * train))
        left = train - sum(found.values())
        share = self.architecture
        whole = share if isinstance(share, int) else round(share * left)
        if not classes <= whole <= left - classes:
            held = "".join(f"{name}={size}, " for name, size in found.items())
            raise NasError(
                f"{self.source}: {held}architecture={share} leave {max(0, left - whole)} for "
                f"weights and {max(0, whole)} for architecture of {train} samples but each needs "
                f"at least {classes}, one for every class; change "
                f"{', '.join(f'data.{name}' for name in (*found, 'architecture'))}"
                f"{'' if self.samples is None else ', data.samples'}"
            )
        return found

    def keep(self, labels: Tensor, parts: Tensor) -> Tensor:
        """Indices of the samples that stay under ``samples``, stratified, in increasing order.

        Args:
            labels: ``(N,)`` classes; all alike where there are none.
            parts: ``(N,)`` positions in ``PARTS``.
        """
        import torch

        from nas.data.split import stratified_cut
        from nas.engine.rng import derive_seed

        train = int((parts == TRAIN).sum())
        if self.samples is None or self.samples >= train:
            return torch.arange(len(labels))
        kept = []
        for part in sorted(set(parts.tolist())):
            members = (parts == part).nonzero()[:, 0]
            size = max(1, round(len(members) * self.samples / train))
            seed = derive_seed(self.split_seed, "samples", PARTS[part])
            kept.append(members[stratified_cut(labels[members], size, seed)])
        return torch.cat(kept).sort().values

    def splits(
        self, labels: Tensor, parts: Tensor, classes: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Indices of weights, architecture, validation and test, stratified by ``labels``.

        Raises:
            NasError: if the sizes do not fit the data, or a class has too few samples.
        """
        from nas.data.split import stratified_split

        members = {name: (parts == index).nonzero()[:, 0] for index, name in enumerate(PARTS)}
        train = members.pop("train")
        official = {name: found for name, found in members.items() if len(found)}
        held = self.held_back(len(train), list(official), max(1, len(classes)))
        share = self.architecture
        inner: dict[str, float] = (
            {"weights": 1.0, "architecture": share}
            if isinstance(share, int)
            else {"weights": 1 - share, "architecture": share}
        )
        sizes = {**inner, **held}
        self._check_classes(labels[train], list(sizes), classes)
        drawn = stratified_split(labels[train], sizes, self.split_seed)
        found = {name: train[indices] for name, indices in drawn.items()} | official
        return {name: found[name] for name in ("weights", "architecture", "validation", "test")}

    def _check_classes(self, labels: Tensor, drawn: Sequence[str], classes: Sequence[str]) -> None:
        if not classes:
            return
        counts = labels.bincount(minlength=len(classes)).tolist()
        for name, count in zip(classes, counts, strict=True):
            if count < len(drawn):
                cut = f" left by samples={self.samples}" if self.samples is not None else ""
                remedy = "raise data.samples or " if self.samples is not None else ""
                raise NasError(
                    f"{self.source}: class {name!r} has {count} training samples{cut}, too few for "
                    f"the {len(drawn)} splits {', '.join(drawn)}; {remedy}add samples of it"
                )


def _allowed(value: object) -> bool:
    if isinstance(value, float):
        return 0 < value < 1
    return _whole(value) and value >= 1  # type: ignore[operator]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
