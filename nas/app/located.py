"""Where the genotype that a setting names lies; needs no torch, since it names run folders."""

from __future__ import annotations

from pathlib import Path

from nas.errors import NasError
from nas.store.folder import RunFolder, resolve
from nas.store.pointer import LATEST


def locate(text: str, runs: str) -> Path | None:
    """The file of ``RUN``, ``RUN@epoch_30`` or ``FILE.json``; None if it may be a published name.

    Raises NasError for an epoch of a run that there is not, and for ``latest`` without any run.
    """
    path = Path(text).expanduser()
    if path.suffix == ".json":
        return path
    name, _, epoch = text.partition("@")
    try:
        folder = resolve(name, runs)
    except NasError:
        if epoch or name == LATEST:
            raise
        return None
    return _at(folder, epoch) if epoch else folder.genotype


def _at(folder: RunFolder, epoch: str) -> Path:
    number = epoch.removeprefix("epoch_")
    file = folder.genotype_at(int(number)) if number.isdecimal() else None
    if file is not None and file.is_file():
        return file
    there = sorted(path.stem for path in folder.genotype_at(0).parent.glob("epoch_*.json"))
    known = f"there are {there[0]} to {there[-1]}" if there else "it has stored none"
    raise NasError(f"{folder.path} has no genotype of {epoch!r}; {known}")
