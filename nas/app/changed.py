"""Whether a user's own modules are still those that a run was made with."""

from __future__ import annotations

from contextlib import suppress

from omegaconf import DictConfig

from nas import console
from nas.app.naming import used_sources
from nas.errors import NasError
from nas.store.folder import RunFolder
from nas.store.record import Record


def tell_changed(folder: RunFolder, cfg: DictConfig) -> None:
    """Name each package of a user's that ``cfg`` uses and that was edited since the run began.

    Its results would else be taken for those of the run. Of runs that recorded no sources nothing
    is known.
    """
    then = Record(folder).env.get("plugins")
    now: dict[str, str] = {}
    with suppress(NasError):  # a module that is gone is told by who needs it
        now = used_sources(cfg)
    for package, digest in then.items() if isinstance(then, dict) else ():
        if now.get(package, digest) != digest:
            console.warn(
                f"{package} was edited after {folder.label} was made: what follows comes from its "
                "present source"
            )
