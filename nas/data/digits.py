"""Handwritten digits that come with scikit-learn: real data without a download."""

# torch and numpy are imported by load() alone: a run folder is named, and the table of a finished
# run printed, from fingerprint() without waiting for them.
from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.files import read_bytes, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.base import ArrayData

TOTAL = 1797
VERSION = "digits/1"
"""Part of the fingerprint; changes with anything below that changes arrays or splits."""


@dataclass(frozen=True)
class Digits:
    """1797 images of 8 x 8 in 17 gray levels, 10 classes (UCI optdigits, its test part).

    Args:
        test: samples held back for ``evaluate``.
        validation: samples for choices between trained networks.
        architecture: share of the remaining samples that trains the architecture; the others
            train the weights.
        split_seed: seed of the stratified splits, apart from the seed of the run.

    Raises:
        NasError: if an argument is not allowed.
    """

    test: int = 540
    validation: int = 127
    architecture: float = 0.5
    split_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool) or not 10 <= size < TOTAL:
                raise NasError(
                    f"digits: {name} must be a whole number of samples from 10 (one per class) to "
                    f"{TOTAL - 1}, got {size!r}; set data.{name}"
                )
        if not isinstance(self.split_seed, int) or isinstance(self.split_seed, bool):
            raise NasError(
                f"digits: split_seed must be a whole number, got {self.split_seed!r}; "
                "set data.split_seed"
            )
        if not isinstance(self.architecture, float) or not 0 < self.architecture < 1:
            raise NasError(
                "digits: architecture must be a share between 0 and 1 of the samples that test and "
                f"validation leave, got {self.architecture!r}; set data.architecture, e.g. 0.5"
            )
        if self.test + self.validation > TOTAL - 20:
            raise NasError(
                f"digits: test={self.test} and validation={self.validation} leave "
                f"{TOTAL - self.test - self.validation} of {TOTAL} samples for weights and "
                "architecture, fewer than one per class each; lower data.test or data.validation"
            )

    def fingerprint(self) -> str:
        """SHA-256 over the stored file and all arguments; imports no torch and no scikit-learn."""
        return self._fingerprint(read_bytes(_stored_file()))

    def load(self) -> ArrayData:
        """The digits as ``(1797, 1, 8, 8)`` uint8, levels 0..16 stretched to 0..255."""
        from nas.data.base import ArrayData, statistics
        from nas.data.split import stratified_split

        raw = read_bytes(_stored_file())
        inputs, targets = _parsed(raw)
        sizes = {
            "weights": 1 - self.architecture,
            "architecture": float(self.architecture),
            "validation": self.validation,
            "test": self.test,
        }
        splits = stratified_split(targets, sizes, self.split_seed)
        training = sorted([*splits["weights"].tolist(), *splits["architecture"].tolist()])
        mean, std = statistics(inputs[training])  # neither validation nor test may leak into it
        spec = DataSpec(
            input_shape=(1, 8, 8),
            kind="classes",
            outputs=10,
            classes=tuple("0123456789"),
            mean=mean,
            std=std,
        )
        return ArrayData(
            spec=spec,
            inputs=inputs,
            targets=targets,
            splits=splits,
            fingerprint=self._fingerprint(raw),
            name="digits",
            split_seed=self.split_seed,
        )

    def _fingerprint(self, raw: bytes) -> str:
        record = {"version": VERSION, "file": sha256(raw), **asdict(self)}
        return sha256(json.dumps(record, sort_keys=True).encode())


def _stored_file() -> Path:
    package = find_spec("sklearn")
    places = list(package.submodule_search_locations or ()) if package else []
    if not places:
        raise NasError(
            "the digits come with scikit-learn, which is not installed; "
            "install it (pip install scikit-learn) or choose other data"
        )
    return Path(places[0], "datasets", "data", "digits.csv.gz")


def _parsed(raw: bytes) -> tuple[Tensor, Tensor]:
    """Inputs and targets from the gzipped table: 64 gray levels and the digit per line."""
    import numpy as np
    import torch

    try:
        lines = gzip.decompress(raw).decode("ascii").splitlines()
        if len(lines) != TOTAL:
            raise ValueError(f"{len(lines)} lines")
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        if table.shape != (TOTAL, 65) or table.min() < 0 or table[:, :64].max() > 16:
            raise ValueError(f"a table of shape {table.shape}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise NasError(
            f"{_stored_file()} does not hold the digits ({error}); "
            "install scikit-learn again (pip install --force-reinstall scikit-learn)"
        ) from error
    # the usual 0..255 instead of 0..16, so that every uint8 data set is scaled by one rule
    levels = (table[:, :64] * 255 + 8) // 16
    inputs = torch.from_numpy(levels.astype(np.uint8)).view(-1, 1, 8, 8)
    return inputs, torch.from_numpy(table[:, 64].copy())
