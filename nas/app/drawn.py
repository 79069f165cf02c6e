"""Different random architectures of a space."""

from __future__ import annotations

import torch

from nas.decision import Choice
from nas.engine.rng import derive_seed
from nas.errors import SpaceError
from nas.space import SearchSpace, sample

PATIENCE = 100  # draws for each architecture that is wanted


def drawn(
    space: SearchSpace, n: int, seed: int, stream: str, setting: str = "n"
) -> list[dict[str, Choice]]:
    """``n`` different random genotypes, by a seed and the name of what they are for.

    Raises SpaceError, which names the ``setting`` to lower, where the space seems to have fewer.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, stream))
    found: list[dict[str, Choice]] = []
    seen: set[str] = set()
    for _ in range(round(PATIENCE * n)):
        choices = sample(space, generator)
        key = repr(sorted(choices.items()))
        if key not in seen:
            seen.add(key)
            found.append(choices)
        if len(found) == n:
            break
    if len(found) < n:
        raise SpaceError(
            f"only {len(found)} different architectures came out of {PATIENCE * n} draws; "
            f"use {setting}={len(found)} or less"
        )
    return found
