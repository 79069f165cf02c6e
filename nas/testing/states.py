"""Random numbers put back, and states as a checkpoint keeps them."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed the global generators of python, numpy and torch, as a run does before a search."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def remembered() -> Callable[[], None]:
    """A function that puts the global generators of python, numpy and torch back to now."""
    ours, theirs, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()

    def put_back() -> None:
        random.setstate(ours)
        np.random.set_state(theirs)
        torch.set_rng_state(tensors)

    return put_back


def through_file(state: Any, what: str) -> Any:
    """``state`` as a checkpoint gives it back; AssertionError if that refuses what it holds."""
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)
    except Exception as error:  # what saving and loading raise is pickle's
        named = re.search(r"GLOBAL (\S+)", str(error))
        held = named[1] if named else " ".join(str(error).split())[:80]
        raise AssertionError(
            f"{what} must hold tensors and plain values alone, or no checkpoint could load it; it "
            f"holds {held}"
        ) from error
