"""A command that is refused before anything ran, or that only plans, leaves no folder behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nas.errors import NasError
from nas.store.folder import RunFolder
from nas.store.pointer import LATEST, point_latest, pointed_at

STOPPED = 128  # exit statuses from here on mean that a signal stopped the run
# What a run writes before its first step; with anything else in it a folder is left alone.
_FIRST = {
    ".hydra",
    ".lock",
    ".holder.json",
    "config.yaml",
    "data.json",
    "env.json",
    "splits.json",
    "status.json",
    "genotype.json",
    "plots",
    "tb",
}


@contextmanager
def nothing_left(
    path: Path, root: Path, keep: Path | None = None, *, plan: bool = False
) -> Iterator[None]:
    """Remove the folder of a run again if the command ends in an error before its first step.

    Hydra makes the folder before the settings are looked at. A run that was there before, that was
    stopped, or that failed over something else than a mistake of the user, keeps its folder.

    Args:
        path: the folder of the run, or ``root`` itself for verbs that make none.
        root: the folder of all runs; ``latest`` leads to what it led to before.
        keep: a folder that was there before Hydra made others in it; it stays, if empty.
        plan: the command writes nothing in any case, so that what Hydra made goes in any case.
    """
    folder, root = RunFolder(path.absolute()), root.absolute()
    kept = None if keep is None else keep.absolute()
    known, latest = folder.is_run(), pointed_at(root / LATEST)
    try:
        yield
    except Exception as error:
        told = _mistake(error) or not folder.is_run()
        if told and not known and not _stopped(error):
            with suppress(OSError, NasError):  # what cannot be removed is no second error
                _remove(folder, root, latest, kept)
        raise
    if plan:
        with suppress(OSError):
            remove_empty(folder.path, root, kept)


def _mistake(error: Exception) -> bool:
    """Tell whether an error will be told in one sentence as a mistake in the settings."""
    ours = type(error).__module__.split(".")[0] in ("hydra", "omegaconf")
    return isinstance(error, NasError) or ours


def _stopped(error: Exception) -> bool:
    return int(getattr(error, "exit_code", 0)) >= STOPPED


def _remove(folder: RunFolder, root: Path, latest: Path | None, keep: Path | None) -> None:
    path = folder.path
    if not path.is_dir() or not {entry.name for entry in path.iterdir()} <= _FIRST:
        return
    if path.resolve() != root.resolve():
        with folder.lock():  # another process may have begun this run by now
            shutil.rmtree(path)
    led = pointed_at(root / LATEST)
    if led is not None and led.resolve() == path.resolve():
        (root / LATEST).unlink()
        if latest is not None and latest.is_dir():
            point_latest(root, latest)
    remove_empty(path, root, keep)


def remove_empty(path: Path, root: Path, keep: Path | None = None) -> None:
    """Remove ``path`` and the folders from there up to ``root`` that are empty, but not ``keep``.

    A ``path`` outside of ``root``, which the user chose for a single run, goes alone.
    """
    above = [parent for parent in path.parents if parent.is_relative_to(root)]
    for place in (path, *above):
        if place != keep and place.is_dir() and not any(place.iterdir()):
            place.rmdir()
