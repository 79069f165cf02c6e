"""Networks that really have fewer channels: weights are cut, nothing is masked."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nas.compression.channels import ChannelGroup, Member
from nas.compression.layers import Convolution, Norm, is_depthwise
from nas.compression.slots import Ids, Side
from nas.errors import SpaceError, nearest

Cuts = dict[str, dict[Side, Ids]]  # layer -> side -> the entries of that axis that stay


def sliced(
    net: nn.Module, kept: Mapping[str, Sequence[int]], groups: Sequence[ChannelGroup]
) -> nn.Module:
    """A copy of ``net`` with fewer channels in the named groups; everything else is as it was.

    Weights, biases, affine parameters and running statistics are cut, and numbers of channels,
    features and convolution groups follow. The order of channels stays. Layers keep their class.
    Parameters of cut layers are new objects: optimizers have to be made after this.

    A subclass with further tensors names those that have one entry of their first axis per output
    channel in an attribute ``per_output`` (such as ``("scale", "quantizer.scale")``); scalars need
    no mention.

    Args:
        net: on any device; not changed.
        kept: for each group to cut, by name, which channels stay: distinct, in any order.
        groups: of ``net``, from ``channel_groups``.

    Raises:
        SpaceError: for a group that is not there or fixed, no, repeated or other channels, groups
            of another network, and layers whose tensors cannot be cut.
    """
    cuts = _cuts(net, kept, groups)
    _check_shared(net, cuts)
    result = copy.deepcopy(net)
    for name, sides in cuts.items():
        _cut_layer(result.get_submodule(name), name, sides)
    return result


def _cuts(
    net: nn.Module, kept: Mapping[str, Sequence[int]], groups: Sequence[ChannelGroup]
) -> Cuts:
    known = {group.name: group for group in groups}
    cuts: Cuts = {}
    for name, channels in kept.items():
        group = known.get(name)
        if group is None:
            raise SpaceError(
                f"there is no channel group {name!r}{nearest(name, known)}; use a name that "
                "channel_groups gives for this network"
            )
        gone = _gone(group, channels)
        for member in group.members:
            size = _size(net, member, group)
            sides = cuts.setdefault(member.module, {})
            before = sides.get(member.side, np.arange(size))
            first = member.offset + member.repeat * np.asarray(gone, dtype=np.int64)
            lost = (first[:, None] + np.arange(member.repeat)).ravel()
            sides[member.side] = np.setdiff1d(before, lost, assume_unique=True)
    return cuts


def _gone(group: ChannelGroup, kept: Sequence[int]) -> list[int]:
    if group.fixed:
        raise SpaceError(
            f"channel group {group.name!r} cannot be cut ({group.fixed}); leave it out, or choose "
            "groups whose `fixed` is empty"
        )
    stay = set(map(operator.index, kept))
    if not stay or len(stay) != len(kept) or min(stay) < 0 or max(stay) >= group.size:
        raise SpaceError(
            f"channel group {group.name!r} has {group.size} channels, of which distinct ones from "
            f"0 to {group.size - 1} can be kept, and at least one; got {list(kept)}"
        )
    return [channel for channel in range(group.size) if channel not in stay]


def _size(net: nn.Module, member: Member, group: ChannelGroup) -> int:
    """The length of the member's axis, which must hold the whole group."""
    try:
        size = _sizes(net.get_submodule(member.module)).get(member.side, 0)
    except AttributeError:
        size = 0
    if size < member.offset + group.size * member.repeat:
        raise SpaceError(
            f"channel group {group.name!r} is not of this network: {member.module!r} there has "
            f"{size} entries on its side {member.side!r}; use channel_groups of the network itself"
        )
    return size


def _sizes(layer: nn.Module) -> dict[Side, int]:
    if isinstance(layer, Convolution):
        if is_depthwise(layer) and layer.out_channels == layer.in_channels:
            return {"both": layer.out_channels}
        return {"in": layer.in_channels, "out": layer.out_channels}
    if isinstance(layer, nn.Linear):
        return {"in": layer.in_features, "out": layer.out_features}
    if isinstance(layer, Norm):
        return {"both": layer.num_features}
    return {"both": layer.num_parameters} if isinstance(layer, nn.PReLU) else {}


def _cut_layer(layer: nn.Module, name: str, sides: Mapping[Side, Ids]) -> None:
    depthwise = is_depthwise(layer)
    rows = sides.get("out", sides.get("both"))
    columns = None if depthwise else sides.get("in")
    per_row = {"weight", "bias", "running_mean", "running_var", *getattr(layer, "per_output", ())}
    for path, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        part: Tensor = tensor
        if path == "weight" and columns is not None:
            part = _entries(part, 1, columns)
        if path in per_row and rows is not None:
            part = _entries(part, 0, rows)
        if path not in per_row and tensor.numel() > 1:
            raise SpaceError(
                f"layer {name!r} of type {type(layer).__name__} has a tensor {path!r} of shape "
                f"{tuple(tensor.shape)} of which is not known whether it has an entry per channel; "
                "name it in the layer's attribute `per_output` if its first axis is the output "
                "channels, and remove parametrizations before"
            )
        if part is not tensor:
            _put(layer, path, part)
    _renumber(layer, {side: len(entries) for side, entries in sides.items()}, depthwise)


def _entries(tensor: Tensor, dim: int, entries: Ids) -> Tensor:
    return tensor.detach().index_select(dim, torch.from_numpy(entries).to(tensor.device))


def _put(layer: nn.Module, path: str, part: Tensor) -> None:
    """Replace a parameter or buffer, by its name seen from ``layer``."""
    inner, _, attribute = path.rpartition(".")
    owner = layer.get_submodule(inner)
    before = getattr(owner, attribute)
    if isinstance(before, nn.Parameter):
        part = nn.Parameter(part, requires_grad=before.requires_grad)
    setattr(owner, attribute, part)


def _renumber(layer: nn.Module, sizes: Mapping[Side, int], depthwise: bool) -> None:
    """Let a layer's numbers of channels follow its tensors."""
    if isinstance(layer, Convolution):
        both = sizes.get("both")
        layer.in_channels = sizes.get("in", both or layer.in_channels)
        layer.out_channels = sizes.get("out", both or layer.out_channels)
        layer.groups = layer.in_channels if depthwise else layer.groups
    elif isinstance(layer, nn.Linear):
        layer.in_features = sizes.get("in", layer.in_features)
        layer.out_features = sizes.get("out", layer.out_features)
    elif isinstance(layer, Norm):
        layer.num_features = sizes["both"]
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = sizes["both"]


def _check_shared(net: nn.Module, cuts: Iterable[str]) -> None:
    """Raise SpaceError for a tensor to be cut that two layers share."""
    owners: dict[int, list[str]] = {}
    for name, layer in net.named_modules():
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(name)
    cut = set(cuts)
    for names in owners.values():
        if len(names) > 1 and not cut.isdisjoint(names):
            raise SpaceError(
                f"layers {' and '.join(map(repr, names))} share a tensor, which cannot be cut for "
                "one of them alone; call one layer twice instead, or give each its own"
            )
