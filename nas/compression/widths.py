"""Widths as decisions: one for each group of channels that can only be cut together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from nas.compression.channels import ChannelGroup, Member, channel_groups
from nas.compression.factors import Kept, forget_kept, keep_channels
from nas.compression.forms import Factorized
from nas.compression.gates import FILTERS, WIDTH, ChannelGates, FixedChannels, Ladder, Segment
from nas.compression.layers import Norm, is_depthwise
from nas.compression.slicing import sliced
from nas.cost_tree import Factor
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable.scope import Scope, scopes

SIDE = 16  # positions along each axis of the inputs by which operations are traced
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Widths:
    """Which channels can be left out.

    Attributes:
        shares: of a group's channels that can be kept, increasing up to 1; empty for gates.
        block: filters that one gate keeps or drops; 0 for shares.
        residual: whether groups that a sum runs through are decided on as well, not only those
            inside a block.
        round_to: numbers of channels are rounded up to a multiple of it.
    """

    shares: tuple[float, ...] = ()
    block: int = 0
    residual: bool = False
    round_to: int = 1
    _groups: dict[tuple[str, tuple[int, ...]], list[ChannelGroup]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def open(self, net: nn.Module, input_shape: Sequence[int] | None) -> int:
        """Put gates into ``net``, in place; returns how many groups are decided on.

        Raises SpaceError for a network that cannot be traced, and for blocks that do not fit.
        """
        found = 0
        for name, part, scope in parts(net):
            groups = self._traced(part, _shape(name, part, scope, input_shape))
            decided = [(group, self._ladder(group, scope)) for group in groups]
            kept = [(group, ladder) for group, ladder in decided if ladder is not None]
            _gated(part, kept)
            found += len(kept)
        return found

    def _traced(self, part: nn.Module, shape: tuple[int, ...]) -> list[ChannelGroup]:
        """Equal operations stand at many places of a supernet: traced once."""
        key = repr(part), shape
        if key not in self._groups:
            self._groups[key] = channel_groups(part, shape)
        return self._groups[key]

    def _ladder(self, group: ChannelGroup, scope: Scope | None) -> Ladder | None:
        if group.fixed or not (group.inner or (self.residual and group.producers)):
            return None
        place = group.name.replace(".", "/").replace(":", "/")
        name = f"{scope.name}/{place}" if scope else place
        if not self.block:
            decision = Decision(f"{name}/{WIDTH}", self.shares, "nested")
            return Ladder(decision, group.size, 0, self.round_to)
        if scope is not None:
            raise SpaceError(
                f"compression.filters={self.block} cuts blocks of a fixed number of filters, but "
                f"{scope.name} has other widths in the supernet than in the network; use "
                "compression.widths"
            )
        if group.size % self.block:
            raise SpaceError(
                f"compression.filters={self.block} does not divide the {group.size} filters of "
                f"{group.name}; choose a divisor"
            )
        blocks = group.size // self.block
        if blocks < 2:
            return None
        gates = Decision(f"{name}/{FILTERS}", (0, 1), "nested", groups=blocks - 1)
        return Ladder(gates, group.size, self.block)


def cut(net: nn.Module, input_shape: Sequence[int] | None) -> nn.Module:
    """A frozen network in which what its gates drop is really gone.

    Args:
        net: in which ``ChannelGates`` are frozen; it may be changed.
        input_shape: of one input, without batch axis.
    """
    for name, part, scope in list(parts(net)):
        masks = _without_masks(part)
        if all(bool(kept.all()) for kept in masks.values()):
            continue
        groups = channel_groups(part, _shape(name, part, scope, input_shape))
        kept = {}
        for group in groups:
            for member in group.members:
                if member.module in masks and not group.fixed:
                    mask = masks[member.module][member.offset : member.offset + group.size]
                    kept[group.name] = mask.nonzero().flatten().tolist()
        made = sliced(part, {n: k for n, k in kept.items() if k}, groups)
        if name:
            net.set_submodule(name, made)
        else:
            net = made
    forget_kept(net)
    return net


Part = tuple[str, nn.Module, Scope | None]


def parts(net: nn.Module) -> Iterator[Part]:
    """What is traced as a whole, with its name: every candidate operation, or else the network."""
    found = [each for each in scopes(net) if "scope" in vars(each[1])]
    owned = [each for each in found if each[2].owner is not None and has_layers(each[1])]
    if any(scope.owner is not None for _, _, scope in found):
        yield from owned
    else:
        yield "", net, None


def has_layers(net: nn.Module) -> bool:
    """Whether there is a layer with weights inside."""
    return any(isinstance(module, LAYERS) for module in net.modules())


def _shape(
    name: str, part: nn.Module, scope: Scope | None, input_shape: Sequence[int] | None
) -> tuple[int, ...]:
    """Of an input of a part: known for a network, that of its first layer for an operation."""
    if scope is None:
        if input_shape is None:
            raise SpaceError(
                "the network's channels are found by running it, and its space does not say on "
                "what: give the space an attribute `data` with the data's description"
            )
        return tuple(input_shape)
    first = next(module for module in part.modules() if isinstance(module, LAYERS))
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    if first.in_channels == 1:
        raise SpaceError(
            f"{scope.name} operates on a single channel, of which nothing can be left out; choose "
            "more channels (space.channels) or less partial ones (strategy.partial_channels)"
        )
    return (first.in_channels, *[SIDE] * (1 if isinstance(first, nn.Conv1d) else 2))


Decided = Sequence[tuple[ChannelGroup, Ladder]]


def _gated(part: nn.Module, decided: Decided) -> None:
    """Put the gates of all groups into a part, and note at its layers what they keep."""
    rows: dict[str, list[tuple[Member, Ladder]]] = {}
    for group, ladder in decided:
        for member in group.members:
            rows.setdefault(member.module, []).append((member, ladder))
    modules = {name: part.get_submodule(name) for name in rows}
    sources = {ladder: modules[group.producers[0].module] for group, ladder in decided}
    for name, members in rows.items():
        keep_channels(modules[name], _kept(name, modules[name], members))
    bare = {
        ladder
        for group, ladder in decided
        if not any(isinstance(modules[member.module], Norm) for member in group.members)
    }
    for name, members in rows.items():
        layer = modules[name]
        masked = [
            Segment(ladder, member.offset)
            for member, ladder in sorted(members, key=lambda row: row[0].offset)
            if isinstance(layer, Norm) or (ladder in bare and member.side == "out")
        ]
        if masked:
            made_by = [sources[segment.ladder] for segment in masked]
            gates = ChannelGates(_outputs(layer), masked, made_by)
            part.set_submodule(name, nn.Sequential(layer, gates))


def _kept(name: str, layer: nn.Module, members: Sequence[tuple[Member, Ladder]]) -> Kept:
    inputs = [(m, ladder) for m, ladder in members if m.side == "in"]
    outputs = [(m, ladder) for m, ladder in members if m.side != "in"]
    both = {ladder.decision.name for _, ladder in inputs} & {
        ladder.decision.name for _, ladder in outputs if ladder.block
    }
    if both:
        raise SpaceError(
            f"{name} reads and makes the filters of {min(both)}, so that its cost is no sum over "
            "them; use compression.widths in place of compression.filters"
        )
    depthwise = is_depthwise(layer)
    return Kept(
        () if depthwise else _shares(inputs, _inputs(layer)), _shares(outputs, _outputs(layer))
    )


def _shares(
    members: Sequence[tuple[Member, Ladder]], size: int
) -> tuple[tuple[float, Factor | None], ...]:
    """The share of all channels that each ladder decides on, and that of the others."""
    found: list[tuple[float, Factor | None]] = [
        (ladder.size * member.repeat / size, ladder.factor) for member, ladder in members
    ]
    rest = 1 - sum(share for share, _ in found)
    return (*found, (rest, None)) if found and rest > 1e-9 else tuple(found)


def _outputs(layer: nn.Module) -> int:
    if isinstance(layer, Norm):
        return layer.num_features
    return layer.out_features if isinstance(layer, nn.Linear) else cast(int, layer.out_channels)


def _inputs(layer: nn.Module) -> int:
    if isinstance(layer, Norm):
        return layer.num_features
    return layer.in_features if isinstance(layer, nn.Linear) else cast(int, layer.in_channels)


def _without_masks(part: nn.Module) -> dict[str, Tensor]:
    """Take the fixed masks out of a part; returns them by the layer that they stood behind."""
    found: dict[str, Tensor] = {}
    for name, module in list(part.named_modules()):
        if isinstance(module, nn.Sequential) and isinstance(module[-1], FixedChannels):
            last = ".second" if isinstance(module[0], Factorized) else ""
            found[f"{name}{last}"] = module[-1].kept
            part.set_submodule(name, module[0])
    return found
