"""Handwritten digits that come with scikit-learn: real data without a download."""

# torch and numpy are imported by load() alone: a run folder is named, and the table of a finished
# run printed, from fingerprint() without waiting for them.
from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nas.data.digest import fingerprint
from nas.data.sizes import Sizes
from nas.errors import NasError
from nas.files import read_bytes, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.base import ArrayData

TOTAL = 1797
VERSION = "digits/2"
"""Part of the fingerprint; changes with anything below that changes arrays or splits."""


@dataclass(frozen=True)
class Digits:
    """1797 images of 8 x 8 in 17 gray levels, 10 classes (UCI optdigits, its test part).

    Args:
        test, validation, architecture, split_seed: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    test: float = 540
    validation: float = 127
    architecture: float = 0.5
    split_seed: int = 0

    def __post_init__(self) -> None:
        self._sizes.held_back(TOTAL, classes=10)

    @property
    def _sizes(self) -> Sizes:
        return Sizes("digits", self.test, self.validation, self.architecture, self.split_seed)

    def fingerprint(self) -> str:
        """SHA-256 over the stored file and all arguments; imports no torch and no scikit-learn."""
        return self._fingerprint(read_bytes(_stored_file()))

    def load(self) -> ArrayData:
        """The digits as ``(1797, 1, 8, 8)`` uint8, levels 0..16 stretched to 0..255."""
        from nas.data.assemble import Samples, all_training, assemble

        raw = read_bytes(_stored_file())
        inputs, targets = _parsed(raw)
        samples = Samples(inputs, targets, all_training(TOTAL), tuple("0123456789"))
        return assemble(samples, self._sizes, name="digits", fingerprint=self._fingerprint(raw))

    def _fingerprint(self, raw: bytes) -> str:
        return fingerprint(VERSION, sha256(raw), self)


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
