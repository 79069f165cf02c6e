"""What a command finds in its run's folder before anything is built; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from nas.app.config import data_source, plain
from nas.app.effect import without_search
from nas.app.stages import STAGES, missing
from nas.errors import NasError
from nas.files import read_json
from nas.store.environment import sources
from nas.store.folder import RunFolder
from nas.store.identity import RUNTIME_KEYS, own_source_digest
from nas.store.settings import differing, read_settings

# What names another run: the folder's own name and hash hold its genotype, whatever led to it.
_REFERENCES = ("genotype", "from")


def finished(cfg: DictConfig, folder: RunFolder, stages: Sequence[str]) -> bool:
    """Tell whether all stages of a run are done, and the command does not ask to do them again.

    Raises:
        NasError: the folder holds a run of other settings.
    """
    again = cfg.get("fresh") or cfg.get("resume") == "never"
    if again or not set(stages) <= set(STAGES) or missing(folder.path, stages):
        return False
    check_same(cfg, folder)
    return True


def check_same(cfg: DictConfig, folder: RunFolder) -> None:
    """NasError if the folder holds a run of other settings: six digits can be the same by chance.

    A ``config.yaml`` that was changed by hand is found in the same way.
    """
    if not folder.config.is_file():
        return
    now = OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(plain(cfg))))
    settings = [read_settings(folder.config), dict(OmegaConf.to_container(now))]  # type: ignore[arg-type]
    if "genotype" in cfg:
        settings = [without_search(side) for side in settings]
    ignored = (*RUNTIME_KEYS, *_REFERENCES, *_places(cfg))
    found = differing(settings[0], settings[1], without=ignored)
    for name, (there, here) in found.items():
        raise NasError(
            f"{folder.path} holds a run of other settings under the same six digits ({name} is "
            f"{there} there and {here} here): move that folder away, or change the seed"
        )


def _places(cfg: DictConfig) -> list[str]:
    """The settings that only say where the data lie."""
    names = getattr(data_source(cfg), "places", ()) if "data" in cfg else ()
    return [f"data.{name}" for name in names]


def already(folder: RunFolder) -> str:
    """Return when a finished run was finished, and by which code."""
    status = folder.status()
    if status.state == "interrupted":  # after its last file, before it could say so
        status = folder.set_status("finished", stage="")
    when = status.finished or status.updated
    return f"already finished {when}, {made_by(folder)}; fresh=true runs it again"


def made_by(folder: RunFolder) -> str:
    """Return the versions of nas that a run was made by, and whether the last is today's."""
    digests = sources(read_json(folder.env))
    same = "" if digests[-1] == own_source_digest() else " (not the one you have now)"
    return f"code {', '.join(digest[:4] for digest in digests)}{same}"
