"""What every test has: one thread, fixed seeds, no screen, and the shared data where it is."""

from __future__ import annotations

import copy
import gc
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch and numpy are first imported
os.environ["MPLBACKEND"] = "Agg"
# What is decoded in tests is no use to anyone after them.
os.environ.setdefault("NAS_CACHE_DIR", tempfile.mkdtemp(prefix="nas-cache-"))

import numpy as np
import pytest
import torch
import yaml
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
def composed_fast() -> Iterator[None]:
    """Compose the settings of a line in half the time; a hundred tests do hardly anything else.

    Hydra composes them twice, at first for ``hydra.mode``, which none sets, and parses every file
    anew each time. Command lines in processes of their own have neither short cut.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", lambda self, config_name, overrides: None)
        patch.setattr(yaml, "load", remembering(yaml.load))
        yield


def remembering(load: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``yaml.load`` that parses one text once, and returns copies."""
    known: dict[tuple[str, str], Any] = {}

    def remembered(stream: Any, Loader: Any) -> Any:  # noqa: N803  (named by callers)
        text = stream.read() if hasattr(stream, "read") else stream
        key = text, Loader.__name__
        if key not in known:
            if text is not stream:
                stream.seek(0)  # errors name the file that is read
            known[key] = load(stream, Loader)
        return copy.deepcopy(known[key])

    return remembered


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of shared images and tables; for tests marked ``data``."""
    folder = Path(os.environ.get("NAS_DATA_DIR") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; NAS_DATA_DIR names the folder")
    return folder
