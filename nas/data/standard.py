"""The standard image sets that torchvision reads: CIFAR, MNIST, FashionMNIST and SVHN."""

# torch and torchvision are imported by load() alone, and by a download that was asked for.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from nas.data.cache import user_path
from nas.data.digest import digest, fingerprint
from nas.data.form import Form
from nas.data.sizes import Sizes
from nas.errors import NasError, nearest
from nas.files import is_file

if TYPE_CHECKING:
    from nas.data.assemble import Samples
    from nas.data.base import ArrayData

VERSION = "standard/1"
_IDX = tuple(
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
FILES: Mapping[str, tuple[str, ...]] = {
    "cifar10": tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")
    ),
    "cifar100": tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")),
    "mnist": tuple(f"MNIST/raw/{name}" for name in _IDX),
    "fashion_mnist": tuple(f"FashionMNIST/raw/{name}" for name in _IDX),
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
}
"""What torchvision's data sets leave below their root; asked without importing them."""


@dataclass(frozen=True)
class Standard:
    """One of torchvision's data sets, from the folder it downloads to; its test part is ``test``.

    Args:
        dataset: cifar10, cifar100, mnist, fashion_mnist or svhn.
        root: the folder.
        archives: tar files of images, relative to ``root``; the first that is there is read where
            none of torchvision's files is. They hold training images only.
        download: whether torchvision may fetch what is missing.
        test, validation, architecture, split_seed, samples: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    places: ClassVar[tuple[str, ...]] = ("root", "archives", "download")

    dataset: str
    root: str
    archives: Sequence[str] = ()
    download: bool = False
    test: float | None = None
    validation: float | None = None
    architecture: float = 0.5
    split_seed: int = 0
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.dataset not in FILES:
            raise NasError(
                f"dataset must be one of {', '.join(FILES)}, got {self.dataset!r}"
                f"{nearest(str(self.dataset), FILES)}"
            )
        if not isinstance(self.download, bool):
            raise NasError(f"download must be true or false, got {self.download!r}")
        self._sizes  # noqa: B018  (checks the arguments)

    def fingerprint(self) -> str:
        """Hash of the stored files and all settings but where they lie; downloads if it may."""
        return self._fingerprint(self._found())

    def load(self) -> ArrayData:
        """The images as uint8; NasError naming what is missing or damaged, and the remedy."""
        from nas.data.assemble import assemble

        found = self._found()
        samples = self._read(found)
        return assemble(
            samples, self._sizes, name=self.dataset, fingerprint=self._fingerprint(found)
        )

    def _read(self, found: Mapping[str, Path]) -> Samples:
        from nas.data.torchvision_files import read
        from nas.data.tree import read_tree

        if self._is_archive(found):
            (name, path), *_ = found.items()
            samples = read_tree(path, Form(), self._sizes)
            return samples.noted(f"JPEG images of {name}, not the original files")
        samples = read(self.dataset, user_path(self.root))
        return samples.at(self._sizes.keep(samples.labels, samples.parts))

    def _found(self) -> dict[str, Path]:
        """The files to read, by name: those of torchvision, or one archive."""
        root = user_path(self.root)
        wanted = {name: root / name for name in FILES[self.dataset]}
        missing = [name for name, path in wanted.items() if not is_file(path)]
        archives = {name: root / name for name in self.archives if is_file(root / name)}
        if not missing:
            return wanted
        if len(missing) < len(wanted) and not self.download:
            raise NasError(
                f"{self.dataset} is not complete in {root}: {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; {self._remedy()}"
            )
        if self.download:
            from nas.data.torchvision_files import download

            download(self.dataset, root)
            return wanted
        for name, path in archives.items():
            return {name: path}
        others = f", and no {' or '.join(self.archives)}" if self.archives else ""
        raise NasError(
            f"{self.dataset} is not in {root}: there is no {_shown(missing)}{others}; "
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        return (
            "set data.root=FOLDER or NAS_DATA_DIR=FOLDER to where they are, or data.download=true "
            "to fetch them"
        )

    def _is_archive(self, found: Mapping[str, Path]) -> bool:
        return not set(found) & set(FILES[self.dataset])

    def _fingerprint(self, found: Mapping[str, Path]) -> str:
        return fingerprint(VERSION, digest(found), self, places={"root", "archives", "download"})

    @property
    def _sizes(self) -> Sizes:
        return Sizes(
            self.dataset,
            self.test,
            self.validation,
            self.architecture,
            self.split_seed,
            self.samples,
        )


def _shown(names: Sequence[str]) -> str:
    """The names, their common folder once."""
    folder = names[0].rpartition("/")[0]
    return ", ".join([names[0], *(name.removeprefix(f"{folder}/") for name in names[1:])])
