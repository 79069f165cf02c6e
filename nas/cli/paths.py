"""Where the configs lie: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

import nas
from nas.errors import NasError


def config_dir() -> Path:
    """Return the folder of the configs, absolute; NasError if the installation has none."""
    package = Path(nas.__file__).resolve().parent
    inside, beside = package / "configs", package.parent / "configs"
    found = inside if inside.is_dir() else beside
    if not found.is_dir():
        raise NasError(f"no configs at {inside} or {beside}; install the package again")
    return found
