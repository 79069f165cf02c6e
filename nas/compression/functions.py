"""What functions do to channels: a rule for each, by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, fx

from nas.compression.layout import Channels, Flow, Layout, Mixed
from nas.compression.trace import Measured, first, function_of, named, value_of
from nas.errors import SpaceError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHANNELWISE = _names(
    "relu relu6 leaky_relu rrelu elu celu selu gelu silu mish hardswish hardsigmoid hardtanh "
    "sigmoid tanh logsigmoid softplus softsign softshrink hardshrink tanhshrink threshold "
    "abs neg exp log sqrt rsqrt square reciprocal sign round floor ceil erf sin cos "
    "avg_pool1d avg_pool2d max_pool1d max_pool2d lp_pool1d lp_pool2d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d interpolate upsample pad "
    "dropout dropout1d dropout2d alpha_dropout feature_dropout feature_alpha_dropout "
    "stochastic_depth clone contiguous detach to float double half bfloat16 type type_as "
    "zeros_like ones_like rand_like randn_like expand expand_as"
)
_SUMS = _names("add iadd sub isub radd rsub")
_ELEMENTWISE = _SUMS | _names(
    "mul imul multiply div itruediv truediv divide pow ipow maximum minimum where lerp "
    "clamp clamp_min clamp_max clip gt lt ge le eq ne"
)
_RESHAPED = _names("flatten view reshape view_as reshape_as squeeze unsqueeze ravel")
_REDUCED = _names("mean sum amax amin")
_SHUFFLED = _names("pixel_shuffle pixel_unshuffle")
_JOINED = _names("cat concat concatenate")
_MIXED = _names(
    "chunk split stack unbind narrow roll flip permute transpose movedim group_norm layer_norm "
    "instance_norm local_response_norm softmax log_softmax normalize channel_shuffle"
)


def check(node: fx.Node) -> None:
    """Raise SpaceError for a function that has no rule."""
    if node.op in ("placeholder", "call_module") or function_of(node) in RULES:
        return
    raise SpaceError(
        f"{named(node)} is no function of which is known what it does to channels; use layers of "
        "torch.nn and functions of torch.nn.functional, or write a subclass of nn.Identity around "
        "it if it treats every channel alone"
    )


def channelwise(flow: Flow, node: fx.Node) -> Layout:
    """Each channel of the result is made of the same channel alone."""
    before = flow.of(first(node))
    if not isinstance(before, Channels):
        return before
    value = value_of(node)
    kept = isinstance(value, Tensor) and value.dim() == value_of(first(node)).dim()
    if not kept or value.shape[before.axis] != len(before.ids):
        return flow.fix(before, f"{named(node)} changes their number")
    if function_of(node) == "expand" and _literal(node, before.axis):
        return flow.fix(before, f"{named(node)} states their number")
    return before


def _elementwise(flow: Flow, node: fx.Node) -> Layout:
    """Every entry of the result is made of the entries at its place."""
    shape = value_of(node).shape
    operands = {each: flow.of(each) for each in _tensors([node.args, node.kwargs])}
    channels = [
        (layout.axis + len(shape) - _value(each).dim(), layout.ids)
        for each, layout in operands.items()
        if isinstance(layout, Channels)
    ]
    axis = channels[0][0] if channels else 0
    reasons = [layout.reason for layout in operands.values() if isinstance(layout, Mixed)]
    if any(other != axis for other, _ in channels):
        reasons.append(f"{named(node)} combines different axes")
    for each, layout in operands.items():
        if layout is None and channels and _width(_value(each), axis, len(shape)) > 1:
            reasons.append(f"{named(node)} combines them with a constant tensor")
    if reasons:
        for layout in operands.values():
            flow.fix(layout, reasons[0])
        return Mixed(reasons[0])
    wide = [ids for _, ids in channels if len(ids) == shape[axis]]
    for one, other in pairwise(wide):
        flow.slots.tie(one, other)
        if function_of(node) in _SUMS:
            flow.slots.add_up(one)
    return Channels(axis, wide[0]) if wide else None


def reshaped(flow: Flow, node: fx.Node) -> Layout:
    """The same entries in the same order; a channel may become several entries in a row."""
    before = flow.of(first(node))
    if not isinstance(before, Channels):
        return before
    found = _place(value_of(first(node)).shape, value_of(node).shape, before.axis)
    if found is None:
        return flow.fix(before, f"{named(node)} mixes them with other axes")
    axis, repeat = found
    if function_of(node) in ("view", "reshape") and _literal(node, axis):
        return flow.fix(before, f"{named(node)} states their number")
    return Channels(axis, np.repeat(before.ids, repeat))


def _place(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> tuple[int, int] | None:
    """Where an axis is after the shape changed in row-major order, and what one entry became.

    ``(j, r)``: entry ``c`` is now the ``r`` entries from ``c * r`` on of axis ``j``; None where no
    axis holds the entries that way.
    """
    outer, width, inner = math.prod(before[:axis]), before[axis], math.prod(before[axis + 1 :])
    for place, size in enumerate(after):
        repeat = size // width
        fits = repeat * width == size and repeat * math.prod(after[place + 1 :]) == inner
        if fits and math.prod(after[:place]) == outer:
            return place, repeat
    return None


def _literal(node: fx.Node, axis: int) -> bool:
    """Whether the code states the size of an axis as a number, not read off a shape."""
    sizes = node.args[1:]
    if sizes and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    stated = sizes[axis] if axis < len(sizes) else None
    return not (isinstance(stated, Measured) or stated == -1)


def _reduced(flow: Flow, node: fx.Node) -> Layout:
    before = flow.of(first(node))
    if not isinstance(before, Channels):
        return before
    count = value_of(first(node)).dim()
    gone = set(_dims(node, None, count)) or set(range(count))
    if before.axis in gone:
        return flow.fix(before, f"{named(node)} runs over all channels")
    if value_of(node).dim() < count:
        return before._replace(axis=before.axis - sum(dim < before.axis for dim in gone))
    return before


def shuffled(flow: Flow, node: fx.Node) -> Layout:
    """Positions become channels or channels positions, ``r * r`` in a row for each other one."""
    before = flow.of(first(node))
    if not isinstance(before, Channels):
        return before
    width = value_of(node).shape[before.axis]
    if before.axis != 1:
        return flow.fix(before, f"{named(node)} reads another axis")
    if width > len(before.ids):
        return Channels(1, np.repeat(before.ids, width // len(before.ids)))
    blocks = before.ids.reshape(width, -1)
    for column in blocks.T[1:]:
        flow.slots.tie(blocks[:, 0], column)
    return Channels(1, blocks[:, 0])


def _joined(flow: Flow, node: fx.Node) -> Layout:
    parts = list(_tensors(node.args[:1])) or list(_tensors([node.kwargs["tensors"]]))
    (dim,) = _dims(node, 0, value_of(node).dim())
    layouts = [flow.of(part) for part in parts]
    axes = {layout.axis for layout in layouts if isinstance(layout, Channels)}
    if axes != {dim}:
        return _elementwise(flow, node)
    ids = []
    for part, layout in zip(parts, layouts, strict=True):
        if isinstance(layout, Channels):
            ids.append(layout.ids)
        else:
            reason = layout.reason if isinstance(layout, Mixed) else "constants"
            ids.append(flow.slots.foreign(_value(part).shape[dim], reason))
    return Channels(dim, np.concatenate(ids))


def _indexed(flow: Flow, node: fx.Node) -> Layout:
    source, index = node.args
    assert isinstance(source, fx.Node)
    before = flow.of(source)
    if not isinstance(before, Channels):
        return before
    entries = list(index) if isinstance(index, tuple) else [index]
    if not all(each is None or each is ... or isinstance(each, (int, slice)) for each in entries):
        return flow.fix(before, f"{named(node)} picks entries")
    if ... in entries:
        at = entries.index(...)
        missing = value_of(source).dim() - sum(each not in (None, ...) for each in entries)
        entries[at : at + 1] = [slice(None)] * missing
    old = new = 0
    for each in entries:
        if each is not None and old == before.axis:
            if each == slice(None):
                return Channels(new, before.ids)
            return flow.fix(before, f"{named(node)} splits them")
        old += each is not None
        new += each is None or isinstance(each, slice)
    return Channels(new + before.axis - old, before.ids)


def _mixed(flow: Flow, node: fx.Node) -> Layout:
    reason = f"{named(node)} does not keep them apart"
    for each in node.all_input_nodes:
        flow.fix(flow.of(each), reason)
    return Mixed(reason)


def _dims(node: fx.Node, default: int | None, count: int) -> list[int]:
    """The axes that a function is told as its second argument, counted from the front."""
    given: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else default)
    several = given if isinstance(given, (tuple, list)) else [] if given is None else [given]
    return [int(dim) % count for dim in several]


def _tensors(value: Any) -> Iterator[fx.Node | Tensor]:
    if isinstance(value, (fx.Node, Tensor)):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _value(operand: fx.Node | Tensor) -> Any:
    return value_of(operand) if isinstance(operand, fx.Node) else operand


def _width(constant: Tensor, axis: int, count: int) -> int:
    at = axis - count + constant.dim()
    return constant.shape[at] if at >= 0 else 1


Rule = Callable[[Flow, fx.Node], Layout]
RULES: dict[str, Rule] = {
    **dict.fromkeys(_CHANNELWISE, channelwise),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_RESHAPED, reshaped),
    **dict.fromkeys(_REDUCED, _reduced),
    **dict.fromkeys(_SHUFFLED, shuffled),
    **dict.fromkeys(_JOINED, _joined),
    **dict.fromkeys(_MIXED, _mixed),
    "getitem": _indexed,
}
