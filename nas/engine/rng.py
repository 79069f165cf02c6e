"""Random numbers: seeds derived from names, and the state of every generator in use."""

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

RngState = dict[str, Any]


def derive_seed(*parts: object) -> int:
    """Return a seed of 63 bits that depends on ``parts`` alone, the same in every process.

    ``parts`` are texts, numbers, None, or lists of those; ``("a", "bc")`` and ``("ab", "c")``
    give different seeds. Raises TypeError for anything else, which could differ between runs.
    """
    text = json.dumps(parts, default=_number, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def seed_everything(*parts: object) -> None:
    """Seed the global generators of python, numpy, torch and CUDA, each with its own seed."""
    random.seed(derive_seed(*parts, "python"))
    np.random.seed(derive_seed(*parts, "numpy") % 2**32)
    # Also seeds CUDA: at once where it is in use, else on first use.
    torch.manual_seed(derive_seed(*parts, "torch"))


def capture_rng() -> RngState:
    """Return the state of the global generators of python, numpy, torch and all CUDA devices.

    Holds tensors, numbers and lists only, so that it can be loaded with ``weights_only=True``.
    CUDA is asked only where this process uses it: asking would claim memory on every device.
    """
    version, internal, gauss = random.getstate()
    legacy: Mapping[str, Any] = np.random.get_state(legacy=False)
    return {
        "python": [version, list(internal), gauss],
        "numpy": {
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if _cuda_in_use() else [],
    }


def restore_rng(state: Mapping[str, Any]) -> None:
    """Put all generators back to what `capture_rng` saw.

    CUDA states are applied device by device; those of devices this machine lacks are left out.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy = state["numpy"]
    key = numpy["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, numpy["pos"], numpy["has_gauss"], numpy["gauss"]))
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count() if state["cuda"] and torch.cuda.is_available() else 0
    for index, cuda in enumerate(state["cuda"][:devices]):
        torch.cuda.set_rng_state(cuda, index)


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a seed cannot be derived from a {type(value).__name__}")
