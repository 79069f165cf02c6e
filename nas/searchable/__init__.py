"""Modules with a choice inside: each reads one decision through a slot."""

from nas.searchable.mixed import MixedOp
from nas.searchable.node import Node
from nas.searchable.partial import PartialChannels, apply_partial_channels
from nas.searchable.prefix import Prefix

__all__ = ["MixedOp", "Node", "PartialChannels", "Prefix", "apply_partial_channels"]
