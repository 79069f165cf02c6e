"""Which image belongs to which class and part: read off the names of a tree's files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nas.data.container import Container
from nas.data.sizes import PARTS, TRAIN
from nas.errors import NasError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""What counts as an image, in capitals too; other files are left out and counted."""
FOLDERS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
REMEDY = "a tree of images has one folder per class, or folders train, val and test of such"


@dataclass(frozen=True)
class Layout:
    """The images of a tree.

    Attributes:
        names: of the image files, sorted.
        targets: positions of their classes in ``classes``.
        parts: positions in ``PARTS``.
        classes: names of the folders, sorted.
        notes: what was left out.
    """

    names: tuple[str, ...]
    targets: tuple[int, ...]
    parts: tuple[int, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def layout(tree: Container) -> Layout:
    """Classes and parts of a tree ``CLASS/IMAGE``, or ``train/CLASS/IMAGE`` with val and test.

    A single folder around everything is passed through. Raises NasError naming what does not
    belong: no image, an image outside of the classes, a class without images, one class only.
    """
    everything = tree.names()
    files = [name for name in everything if not name.endswith("/")]
    images = [name for name in files if name.lower().endswith(EXTENSIONS)]
    if not images:
        raise NasError(
            f"{tree.path} holds no image among {len(files)} files ({', '.join(EXTENSIONS)} count "
            f"as images); {REMEDY}"
        )
    around = _around([name.split("/") for name in images])
    divided = _divided([name.split("/")[around:] for name in images])
    found = [_placed(tree, name, around, divided) for name in images]
    known = {*found, *_folders(everything, around, divided)}
    classes = sorted({label for part, label in known if part == TRAIN})
    _check_classes(tree, found, known, classes)
    position = {label: index for index, label in enumerate(classes)}
    return Layout(
        names=tuple(images),
        targets=tuple(position[label] for _, label in found),
        parts=tuple(part for part, _ in found),
        classes=tuple(classes),
        notes=_left_out(files, images),
    )


def _around(paths: Sequence[Sequence[str]]) -> int:
    """How many folders lie around everything: not ``train``, and with classes below."""
    depth = 0
    while (
        len({path[depth] for path in paths}) == 1
        and paths[0][depth] not in FOLDERS
        and all(len(path) >= depth + 3 for path in paths)
    ):
        depth += 1
    return depth


def _divided(paths: Sequence[Sequence[str]]) -> bool:
    """Whether the topmost folders are parts; a folder ``train`` of images is a class of trains."""
    training = [path for path in paths if path[0] == PARTS[TRAIN]]
    return bool(training) and all(len(path) >= 3 for path in training)


def _placed(tree: Container, name: str, around: int, divided: bool) -> tuple[int, str]:
    parts = name.split("/")[around:]
    if divided and parts[0] not in FOLDERS:
        raise NasError(
            f"{tree.place(name)} lies beside the folder train, in none of "
            f"{', '.join(FOLDERS)}; move it into one of them or away"
        )
    if len(parts) < 2 + divided:
        raise NasError(f"{tree.place(name)} lies in no folder of a class; {REMEDY}")
    return (FOLDERS[parts[0]], parts[1]) if divided else (TRAIN, parts[0])


def _folders(names: Iterable[str], around: int, divided: bool) -> Iterable[tuple[int, str]]:
    """Folders of classes, those without images too."""
    for name in names:
        parts = PurePosixPath(name).parts[around:]
        if not name.endswith("/") or len(parts) != 1 + divided:
            continue
        if not divided:
            yield TRAIN, parts[0]
        elif parts[0] in FOLDERS:
            yield FOLDERS[parts[0]], parts[1]


def _check_classes(
    tree: Container,
    found: Sequence[tuple[int, str]],
    known: Iterable[tuple[int, str]],
    classes: Sequence[str],
) -> None:
    filled = set(found)
    for part, label in sorted(known):
        if label not in classes:
            raise NasError(
                f"{tree.path} has a folder {label!r} for {PARTS[part]} that train lacks (it has "
                f"{len(classes)} classes such as {classes[0]!r}); add it there or move it away"
            )
        if part == TRAIN and (part, label) not in filled:
            raise NasError(
                f"class {label!r} of {tree.path} holds no image ({', '.join(EXTENSIONS)}); "
                "put images there or remove its folder"
            )
    if len(classes) < 2:
        raise NasError(
            f"{tree.path} has one class only, {classes[0]!r}; {REMEDY}, and at least two classes"
        )


def _left_out(files: Sequence[str], images: Sequence[str]) -> tuple[str, ...]:
    others = sorted(set(files) - set(images))
    if not others:
        return ()
    count = "1 file is" if len(others) == 1 else f"{len(others)} files are"
    return (f"{count} no image by the extension and left out, e.g. {others[0]}",)
