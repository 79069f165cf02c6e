"""Compression as a dimension of any search space, and networks that are really smaller."""

from nas.compression.base import Rules
from nas.compression.channels import ChannelGroup, Member, channel_groups
from nas.compression.low_rank import (
    break_even,
    factorized,
    full_rank,
    rank_by_energy,
    skeletons,
    with_ranks,
)
from nas.compression.rank_rules import LowRank
from nas.compression.rules import Compression
from nas.compression.slicing import sliced
from nas.compression.space import Compressed
from nas.compression.trained_rank import TrainedRank

__all__ = [
    "ChannelGroup",
    "Compressed",
    "Compression",
    "LowRank",
    "Member",
    "Rules",
    "TrainedRank",
    "break_even",
    "channel_groups",
    "factorized",
    "full_rank",
    "rank_by_energy",
    "skeletons",
    "sliced",
    "with_ranks",
]
