"""What a suggested search of a space has to say beside the space."""

from __future__ import annotations

import torch

from nas.searchable.partial import takes_partial_channels
from nas.space import SearchSpace


def strategy_words(space: SearchSpace) -> tuple[str, ...]:
    """Another strategy where the default one, which wants partial channels, does not fit."""
    with torch.device("meta"):
        fits = takes_partial_channels(space.supernet())
    return () if fits else ("strategy=darts",)
