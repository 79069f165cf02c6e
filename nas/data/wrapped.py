"""A torch ``Dataset`` of a user's own, read once into arrays."""

# torch is imported by load() alone, if the class itself does not.
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.data.cache import user_path
from nas.data.container import Folders
from nas.data.digest import digest, record_digest
from nas.data.sizes import Sizes
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.data.base import ArrayData

VERSION = "dataset/1"
PLACES = ("root", "path", "file", "folder", "dir", "directory")
"""Names, or ends of names after an underscore, of arguments that say where data lie."""


@dataclass(frozen=True)
class Wrapped:
    """Any map-style data set of pairs (input, target), each read once and kept in memory.

    Inputs are tensors, arrays or Pillow images, of one shape ``(C, H, W)``, ``(H, W)``, ``(C, L)``
    or ``(L,)``; targets are classes or rows of zeros and ones. A random transform inside the data
    set would be drawn once and for all: augmentation belongs in ``data.augment``.

    Args:
        dataset: makes the data set: its class with the arguments bound (``_partial_: true``).
        layout: order of the axes with the samples first, as of `nas.data.arrays.to_inputs`.
        test, validation, architecture, split_seed, samples: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    dataset: Callable[[], Any]
    layout: str = "auto"
    test: float | None = None
    validation: float | None = None
    architecture: float = 0.5
    split_seed: int = 0
    samples: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.dataset):
            raise NasError(
                f"dataset must be a class with its arguments bound, got a "
                f"{type(self.dataset).__name__}; set data.dataset._target_, or in Python "
                "give functools.partial(MyDataset, ...)"
            )
        self._sizes  # noqa: B018  (checks the arguments)

    def fingerprint(self) -> str:
        """Hash of the class's name and all settings.

        An argument called root, path, file, folder, dir or directory (or something_path and so
        on) counts by what is stored there. Nothing is built.
        """
        bound = self.dataset if isinstance(self.dataset, partial) else partial(self.dataset)
        settings = {
            "version": VERSION,
            "class": _name(self.dataset),
            "args": [_plain(value) for value in bound.args],
            "settings": {name: _content(name, value) for name, value in bound.keywords.items()},
            "layout": self.layout,
            "sizes": asdict(self._sizes),
        }
        return record_digest(settings)

    def load(self) -> ArrayData:
        """All samples in memory; their contents are part of the fingerprint that is recorded.

        Raises NasError naming the sample that fails, or that differs from the first in shape.
        """
        from nas.data.assemble import assemble
        from nas.data.pairs import read_pairs

        name = _name(self.dataset)
        samples, content = read_pairs(self.dataset, name, self.layout)
        return assemble(
            samples.at(self._sizes.keep(samples.labels, samples.parts)),
            self._sizes,
            name=name.rpartition(".")[2],
            fingerprint=record_digest([self.fingerprint(), content]),
        )

    @property
    def _sizes(self) -> Sizes:
        return Sizes(
            _name(self.dataset),
            self.test,
            self.validation,
            self.architecture,
            self.split_seed,
            self.samples,
        )


def _name(dataset: Callable[[], Any]) -> str:
    made = dataset.func if isinstance(dataset, partial) else dataset
    named = made if hasattr(made, "__qualname__") else type(made)
    return f"{named.__module__}.{named.__qualname__}"


def _content(name: str, value: Any) -> Any:
    if name.rpartition("_")[2] not in PLACES or not isinstance(value, str | os.PathLike):
        return _plain(value)
    path = user_path(os.fspath(value))
    if path.is_dir():
        return ["folder", Folders(path).digest()]
    return ["file", digest({"file": path})] if path.is_file() else os.fspath(value)


def _plain(value: Any) -> Any:
    """Settings as they are; of an object its class, since its text may hold an address."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return _name(value if callable(value) else type(value))
