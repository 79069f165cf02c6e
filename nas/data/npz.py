"""Arrays of one's own in a NumPy ``.npz`` file."""

# numpy and torch are imported by load() alone: a run folder is named by fingerprint().
from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.data.cache import user_path
from nas.data.digest import digest, fingerprint
from nas.data.sizes import PARTS, Sizes
from nas.errors import NasError, nearest
from nas.files import is_file

if TYPE_CHECKING:
    import numpy as np

    from nas.data.assemble import Samples
    from nas.data.base import ArrayData

VERSION = "npz/1"
WORDS = ("train", "val", "test")
NAMES = (
    {part: (f"x_{word}", f"y_{word}") for part, word in zip(PARTS, WORDS, strict=True)},
    {part: (f"{word}_images", f"{word}_labels") for part, word in zip(PARTS, WORDS, strict=True)},
    {"train": ("x", "y")},
    {"train": ("images", "labels")},
)
"""Names of inputs and targets by part; the first row of which the training part is there."""
CLASSES = ("classes", "class_names")
LAYOUTS = ("auto", "NL", "NCL", "NLC", "NHW", "NHWC", "NCHW")
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,  # a compression that zipfile lacks
    RuntimeError,  # an encrypted file
    MemoryError,  # a header that claims too much
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Npz:
    """Images or sequences with classes or labels, from a file that `numpy.savez` wrote.

    Arrays are x_train and y_train, with x_val and y_val, x_test and y_test where there are such
    parts (or train_images, train_labels, val_images and so on), or x and y, or images and labels;
    classes or class_names may hold names as text. Nothing is ever unpickled.

    Args:
        file: its path.
        layout: order of the axes of inputs: NL, NCL, NLC, NHW, NHWC, NCHW, or auto where it can be
            told (`nas.data.arrays.to_inputs`).
        test, validation, architecture, split_seed, samples: as of `nas.data.sizes.Sizes`.

    Raises:
        NasError: if an argument is not allowed.
    """

    places: ClassVar[tuple[str, ...]] = ("file",)

    file: str
    layout: str = "auto"
    test: float | None = None
    validation: float | None = None
    architecture: float = 0.5
    split_seed: int = 0
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise NasError(
                f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}"
                f"{nearest(str(self.layout), LAYOUTS)}; set data.layout"
            )
        self._sizes  # noqa: B018  (checks the arguments)

    @property
    def path(self) -> Path:
        """The file."""
        return user_path(self.file)

    def fingerprint(self) -> str:
        """Hash of the file and of every setting but its path."""
        if not is_file(self.path):
            raise NasError(f"there is no file {self.path}; set data.file to a .npz file")
        return fingerprint(VERSION, digest({"file": self.path}), self, places={"file"})

    def load(self) -> ArrayData:
        """The arrays; NasError naming the array that is missing, damaged or of a wrong shape."""
        from nas.data.assemble import assemble

        mark = self.fingerprint()
        samples = self._read()
        kept = samples.at(self._sizes.keep(samples.labels, samples.parts))
        return assemble(kept, self._sizes, name=self.path.stem, fingerprint=mark)

    def _read(self) -> Samples:
        import torch

        from nas.data.arrays import check_classes
        from nas.data.assemble import Samples

        with _opened(self.path) as stored:
            present = list(stored.files)
            row = _row(self.path, present)
            pairs = {part: self._pair(stored, *names) for part, names in row.items()}
            given = next((name for name in CLASSES if name in present), None)
            names = () if given is None else _texts(_array(self.path, stored, given), given)
        targets = {part: pair[1] for part, pair in pairs.items()}
        known = check_classes(targets["train"], _where(self.path, row["train"][1]), names)
        self._check_alike(row, pairs, len(known))
        used = {name for names in row.values() for name in names} | {given}
        left = sorted(set(present) - used)
        return Samples(
            torch.cat([inputs for inputs, _ in pairs.values()]),
            torch.cat(list(targets.values())),
            torch.cat([torch.full((len(t),), PARTS.index(p)) for p, t in targets.items()]),
            known,
            (f"arrays left out: {', '.join(left)}",) if left else (),
        )

    def _pair(self, stored: Any, inputs: str, targets: str) -> tuple[Any, Any]:
        from nas.data.arrays import to_inputs, to_targets

        x = to_inputs(_array(self.path, stored, inputs), self.layout, _where(self.path, inputs))
        y = to_targets(_array(self.path, stored, targets), _where(self.path, targets))
        if len(x) != len(y):
            raise NasError(
                f"{self.path}: {inputs} has {len(x)} samples and {targets} has {len(y)}; "
                "store one target per input, in the same order"
            )
        return x, y

    def _check_alike(self, row: dict[str, Any], pairs: dict[str, Any], classes: int) -> None:
        first_x, first_y = pairs["train"]
        for part, (x, y) in pairs.items():
            (x_name, y_name), (x_first, y_first) = row[part], row["train"]
            if x.shape[1:] != first_x.shape[1:] or x.dtype != first_x.dtype:
                raise NasError(
                    f"{self.path}: {x_name} holds {x.dtype} of shape {tuple(x.shape[1:])} and "
                    f"{x_first} {first_x.dtype} of {tuple(first_x.shape[1:])}; store them alike"
                )
            wrong = y.dim() == 1 and (int(y.min()) < 0 or int(y.max()) >= classes)
            if y.shape[1:] != first_y.shape[1:] or wrong:
                raise NasError(
                    f"{self.path}: {y_name} holds other classes or labels than {y_first}; number "
                    "them alike in both"
                )

    @property
    def _sizes(self) -> Sizes:
        return Sizes(
            str(self.file),
            self.test,
            self.validation,
            self.architecture,
            self.split_seed,
            self.samples,
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import numpy as np

    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            found = np.load(file, allow_pickle=False)
        except DAMAGED as error:
            raise _damaged(path, error) from error
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise NasError(
                f"{path} holds a single array without a name; write inputs and targets with "
                "numpy.savez(file, x=..., y=...)"
            )
        yield stack.enter_context(found)


def _array(path: Path, stored: Any, name: str) -> np.ndarray:
    try:
        found: np.ndarray | bytes = stored[name]
    except DAMAGED as error:
        if "Object arrays" in str(error):
            raise NasError(
                f"{_where(path, name)} holds Python objects, which are not loaded since they can "
                "run code; store numbers of one shape"
            ) from error
        raise _damaged(path, error, name) from error
    if isinstance(found, bytes):  # what numpy returns of an entry that is no array
        raise _damaged(path, ValueError("no array"), name)
    return found


def _row(path: Path, present: list[str]) -> dict[str, tuple[str, str]]:
    """Names of inputs and targets by part, of the first convention that fits."""
    for row in NAMES:
        found = {}
        for part, pair in row.items():
            there = [name for name in pair if name in present]
            if len(there) == 1:
                absent = next(name for name in pair if name not in present)
                raise NasError(f"{path} holds {there[0]} but no {absent}; store both")
            if there:
                found[part] = pair
        if "train" in found:
            return found
        if found:
            raise NasError(
                f"{path} holds {', '.join(n for pair in found.values() for n in pair)} but no "
                f"{' and '.join(row['train'])}; store them too"
            )
    wanted = " or ".join(", ".join(row["train"]) for row in NAMES)
    raise NasError(
        f"{path} holds the arrays {', '.join(present)[:200] or 'none'}, where inputs and targets "
        f"are called {wanted}; write them anew under these names with numpy.savez"
    )


def _texts(array: np.ndarray, name: str) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise NasError(f"{name} must hold one text per class, got {array.dtype} {array.shape}")
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in array)


def _where(path: Path, name: str) -> str:
    return f"{name} in {path}"


def _damaged(path: Path, error: Exception, name: str = "") -> NasError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    if "allow_pickle" in reason:
        reason = "no NumPy file"
    what = f"{path}, array {name}," if name else str(path)
    return NasError(
        f"{what} is damaged or no .npz file ({reason}); write it again with numpy.savez"
    )
