"""Where the configs lie: inside the package in a wheel, beside it in a checkout; and plug-ins'."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import nas
from nas.errors import NasError
from nas.plugins import config_folders

_SEARCH_PATH = "hydra.searchpath="


def config_dir() -> Path:
    """Return the folder of the configs, absolute; NasError if the installation has none."""
    package = Path(nas.__file__).resolve().parent
    inside, beside = package / "configs", package.parent / "configs"
    found = inside if inside.is_dir() else beside
    if not found.is_dir():
        raise NasError(f"no configs at {inside} or {beside}; install the package again")
    return found


def shipped_folders() -> list[Path]:
    """Return our configs' folder and those of the installed plug-ins."""
    return [config_dir(), *config_folders()]


def typed_folders(args: Sequence[str]) -> list[Path]:
    """Return the folders after ``--config-dir`` (``-cd``) on a line that is not taken apart."""
    found = [word.partition("=")[2] for word in args if word.startswith(("--config-dir=", "-cd="))]
    found += [value for word, value in pairwise(args) if word in ("--config-dir", "-cd")]
    return [Path(text) for text in found]


def with_search_path(settings: Sequence[str], folders: Sequence[Path] = ()) -> list[str]:
    """Return the settings with ``folders`` and the plug-ins' on Hydra's search path."""
    added = [f"'file://{folder.resolve()}'" for folder in (*folders, *config_folders())]
    if not added:
        return list(settings)
    own = [text for text in settings if text.startswith(_SEARCH_PATH)]  # Hydra takes one list
    given = [text.removeprefix(_SEARCH_PATH).strip("[]") for text in own]
    kept = [text for text in settings if text not in own]
    return [*kept, f"{_SEARCH_PATH}[{','.join([*added, *filter(None, given)])}]"]
