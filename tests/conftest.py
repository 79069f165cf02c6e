"""What every test has: one thread, fixed seeds, no screen, and the shared data where it is."""

from __future__ import annotations

import gc
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch and numpy are first imported
os.environ["MPLBACKEND"] = "Agg"
# What is decoded in tests is no use to anyone after them.
os.environ.setdefault("NAS_CACHE_DIR", tempfile.mkdtemp(prefix="nas-cache-"))

import numpy as np
import pytest
import torch
from hydra._internal.hydra import Hydra
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)

# The same examples everywhere, nothing remembered, and no failure because the machine is busy.
settings.register_profile("nas", derandomize=True, database=None, deadline=None)
settings.load_profile("nas")


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays to the end: modules and collected tests."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Give it back: extension modules call what is not collected at the end of a process a leak."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """Hydra composes the settings of a line twice, at first for ``hydra.mode``, which none sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", lambda self, config_name, overrides: None)
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of shared images and tables; for tests marked ``data``."""
    folder = Path(os.environ.get("NAS_DATA_DIR") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; NAS_DATA_DIR names the folder")
    return folder
