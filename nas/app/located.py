"""Where the genotype that a setting names lies; needs no torch, since it names run folders."""

from __future__ import annotations

from pathlib import Path

from nas.errors import NasError
from nas.runs.folder import resolve
from nas.runs.pointer import LATEST


def locate(text: str, runs: str) -> Path | None:
    """The file of ``RUN``, ``RUN@epoch_030`` or ``FILE.json``; None if it may be a published name.

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
    return folder.path / "genotypes" / f"{epoch}.json" if epoch else folder.genotype
