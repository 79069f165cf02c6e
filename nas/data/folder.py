"""Images of one's own: a folder per class, on the disk or in a tar file."""

# torch is imported by load() alone: a run folder is named by fingerprint().
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from nas.data.cache import user_path
from nas.data.container import container, stem
from nas.data.digest import fingerprint
from nas.data.form import Form
from nas.data.sizes import Sizes

if TYPE_CHECKING:
    from nas.data.base import ArrayData

VERSION = "folder/1"


@dataclass(frozen=True)
class Folder:
    """Images ``root/CLASS/*.jpg``, or ``root/train/CLASS`` beside ``root/val`` and ``root/test``.

    Args:
        root: the folder, or a tar file of it.
        size: side in pixels that all images are brought to; None if they all have one size.
        channels: 3 for color, 1 for gray.
        test, validation, architecture, split_seed, samples: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    places: ClassVar[tuple[str, ...]] = ("root",)

    root: str
    size: int | None = None
    channels: int = 3
    test: float | None = None
    validation: float | None = None
    architecture: float = 0.5
    split_seed: int = 0
    samples: int | None = None

    def __post_init__(self) -> None:
        self._form, self._sizes  # noqa: B018  (they check the arguments)

    @property
    def path(self) -> Path:
        """The folder or archive."""
        return user_path(self.root)

    def fingerprint(self) -> str:
        """Hash of all files and settings; the files are read in full by the first run only."""
        return fingerprint(VERSION, container(self.path).digest(), self, places={"root"})

    def load(self) -> ArrayData:
        """The images as uint8 ``(N, channels, size, size)``, with one class per folder."""
        from nas.data.assemble import assemble
        from nas.data.tree import read_tree

        samples = read_tree(self.path, self._form, self._sizes)
        return assemble(samples, self._sizes, name=stem(self.path), fingerprint=self.fingerprint())

    @property
    def _form(self) -> Form:
        return Form(self.channels, self.size)

    @property
    def _sizes(self) -> Sizes:
        return Sizes(
            str(self.path),
            self.test,
            self.validation,
            self.architecture,
            self.split_seed,
            self.samples,
        )
