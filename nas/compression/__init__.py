"""Compression: which channels belong together, and networks that really have fewer of them."""

from nas.compression.channels import ChannelGroup, Member, channel_groups
from nas.compression.slicing import sliced

__all__ = ["ChannelGroup", "Member", "channel_groups", "sliced"]
