"""Modules with a choice inside: each reads one decision through a slot."""

from nas.searchable.execution import plain_execution, set_execution
from nas.searchable.mixed import MixedOp
from nas.searchable.node import Node
from nas.searchable.nodes import Nodes
from nas.searchable.partial import PartialChannels, apply_partial_channels
from nas.searchable.prefix import Prefix
from nas.searchable.scope import candidate, scoped

__all__ = [
    "MixedOp",
    "Node",
    "Nodes",
    "PartialChannels",
    "Prefix",
    "apply_partial_channels",
    "candidate",
    "plain_execution",
    "scoped",
    "set_execution",
]
