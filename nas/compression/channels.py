"""Which channels of a network belong together, so that they can only be cut together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from nas.compression.flow import slots_of
from nas.compression.functions import check
from nas.compression.slots import Row, Side
from nas.compression.trace import trace


@dataclass(frozen=True)
class Member:
    """Where the channels of a group are in one layer.

    Channel ``c`` of the group is the ``repeat`` entries from ``offset + c * repeat`` on.

    Attributes:
        module: the layer's name in the network.
        side: ``out``: channels that it makes; ``in``: channels that it reads; ``both``: it treats
            each of its channels alone (batch normalization, depthwise convolution, PReLU).
        offset: the first entry along that axis of the layer.
        repeat: entries in a row for each channel: positions after a flatten, ``r * r`` before a
            pixel shuffle.
    """

    module: str
    side: Side
    offset: int = 0
    repeat: int = 1


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that have the same fate wherever they go: cut in one layer, cut in all.

    Attributes:
        name: of the first layer that makes them, with ``:offset`` where these are not its first
            channels; ``layer:in`` where no layer makes them. Unique in a network.
        size: how many channels.
        members: where they are, in the order in which the network calls its layers; a layer may
            occur more than once.
        fixed: why they cannot be cut; empty where they can.
        residual: whether a sum runs through them.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    fixed: str = ""
    residual: bool = False

    @property
    def producers(self) -> tuple[Member, ...]:
        """The layers that make the channels."""
        return tuple(member for member in self.members if member.side == "out")

    @property
    def consumers(self) -> tuple[Member, ...]:
        """The layers that read them."""
        return tuple(member for member in self.members if member.side == "in")

    @property
    def inner(self) -> bool:
        """Whether they can be cut, one layer makes them, and no sum runs through them.

        In a residual network these are the layers before the last one of each block (1707.06342).
        """
        return not self.fixed and not self.residual and len(self.producers) == 1


def channel_groups(net: nn.Module, input_shape: Sequence[int]) -> list[ChannelGroup]:
    """The channel groups of a network, in the order in which it makes them.

    Two channels are in one group of channels if cutting a part of the one side asks for cutting the
    same part of the other: through layers that treat channels one by one, sums, products with
    gates, flattening, pixel shuffles, concatenations (at an offset) and layers that run twice. The
    network is traced once in evaluation mode, with shapes alone; it is left as it is.

    Args:
        net: calls layers of ``torch.nn`` (or subclasses) and functions of
            ``torch.nn.functional``; may be on the meta device.
        input_shape: of one input, without batch axis.

    Raises:
        SpaceError: for a function that is not known, a module that cannot be traced, and widths
            that do not fit; with its name and what to do.
    """
    slots = slots_of(net, trace(net, input_shape, check))
    return [_group(row) for row in slots.rows()]


def _group(row: Row) -> ChannelGroup:
    members = tuple(Member(str(r.axis.module), r.axis.side, r.start, r.repeat) for r in row.runs)
    first = next((member for member in members if member.side == "out"), members[0])
    name = first.module if first.side == "out" else f"{first.module}:in"
    if first.offset:
        name += f":{first.offset}"
    return ChannelGroup(name, row.size, members, row.fixed, row.summed)
