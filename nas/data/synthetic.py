"""Data made from a seed, without any file: sequences and images, for every kind of task."""

# As with the digits, torch is imported by load() alone.
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from nas.data.digest import fingerprint
from nas.data.sizes import Sizes
from nas.dataspec import DataSpec
from nas.errors import NasError, nearest

if TYPE_CHECKING:
    from nas.data.base import ArrayData

LEAST: Mapping[str, int] = MappingProxyType({"waves": 16, "labels": 32, "regions": 8, "fields": 8})
"""The problems, and how many positions each axis of theirs has at least."""
CLASSES: Mapping[str, int] = MappingProxyType({"waves": 4})
"""Of how many classes each split has a sample of, where a sample has one class."""

VERSION = "synthetic/1"
"""Part of the fingerprint; changes with anything that changes arrays or splits."""


@dataclass(frozen=True)
class Synthetic:
    """Noisy samples of one of four problems, learnable by small networks and not linear.

    ``waves``: the shape of a wave, four classes, in 1-D. ``labels``: which of five periodic
    components are there, multi-label, in 1-D. ``regions``: the texture at each position, three
    classes, dense, in 2-D. ``fields``: how steep a landscape is, an image out, in 2-D.

    Args:
        problem: one of the four.
        samples: of all splits together.
        size: positions along each axis.
        noise: standard deviation of the noise on the inputs; that of clean ones is 0.5 to 1.
        seed: of the samples, apart from the seed of the run.
        test, validation, architecture, split_seed: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    problem: Literal["waves", "labels", "regions", "fields"] = "waves"
    samples: int = 2000
    size: int = 64
    noise: float = 0.3
    seed: int = 0
    test: float = 400
    validation: float = 200
    architecture: float = 0.5
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.problem not in LEAST:
            raise NasError(
                f"synthetic: problem must be one of {', '.join(LEAST)}, got {self.problem!r}"
                f"{nearest(str(self.problem), LEAST)}; set data.problem"
            )
        for name, least in {"samples": 4, "size": LEAST[self.problem], "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise NasError(
                    f"synthetic: {name} must be a whole number of at least {least} for "
                    f"problem={self.problem}, got {value!r}; set data.{name}"
                )
        number = isinstance(self.noise, int | float) and not isinstance(self.noise, bool)
        if not number or not 0 <= self.noise < math.inf:
            raise NasError(
                f"synthetic: noise must be a number of at least 0, got {self.noise!r}; "
                "set data.noise"
            )
        self._sizes.held_back(self.samples, classes=CLASSES.get(self.problem, 1))

    @property
    def _sizes(self) -> Sizes:
        return Sizes(self._name, self.test, self.validation, self.architecture, self.split_seed)

    @property
    def _name(self) -> str:
        return f"synthetic_{self.problem}"

    def fingerprint(self) -> str:
        """SHA-256 over all arguments; there is no file."""
        return fingerprint(VERSION, "", self)

    def load(self) -> ArrayData:
        """The samples, float32, and the splits, stratified where each sample has one class."""
        import torch

        from nas.data.assemble import all_training
        from nas.data.base import ArrayData, statistics
        from nas.data.problems import PROBLEMS
        from nas.engine.rng import derive_seed

        generator = torch.Generator().manual_seed(derive_seed(self.seed, self._name))
        drawn = PROBLEMS[self.problem](self.samples, self.size, self.noise, generator)
        parts = all_training(self.samples)
        labels = drawn.targets if drawn.kind == "classes" else parts  # all alike
        splits = self._sizes.splits(labels, parts, drawn.names if drawn.kind == "classes" else ())
        training = torch.cat([splits["weights"], splits["architecture"]]).sort().values
        mean, std = statistics(drawn.inputs[training])
        spec = DataSpec(
            input_shape=tuple(drawn.inputs.shape[1:]),
            kind=drawn.kind,
            outputs=drawn.outputs,
            classes=drawn.names,
            mean=mean,
            std=std,
        )
        return ArrayData(
            spec=spec,
            inputs=drawn.inputs,
            targets=drawn.targets,
            splits=splits,
            fingerprint=self.fingerprint(),
            name=self._name,
            split_seed=self.split_seed,
        )
