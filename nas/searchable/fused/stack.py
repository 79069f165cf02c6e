"""Equal modules on several edges that leave one node, run at once on their common input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.kernels import Kernels
from nas.searchable.fused.value import Follow, Norm, Value, both, joined, repeated, statistics
from nas.searchable.primitives import Halves, Pool, Zero, shifted
from nas.searchable.watch import Reading, tell, tell_separable

_CONV = {1: F.conv1d, 2: F.conv2d}
_CONVS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass
class Input:
    """The common input of all stacks of a node, with what several of them need."""

    x: Tensor
    follow: Follow
    _relu: Tensor | None = None

    def relu(self) -> Tensor:
        """ReLU of the input, computed once."""
        if self._relu is None:
            self._relu = F.relu(self.x)
        return self._relu


@runtime_checkable
class InLeaves(Protocol):
    """A module that is its leaves, run one after the other."""

    def leaves(self) -> Sequence[nn.Module]:
        """Modules that hold this one's own parts."""
        ...


Column = tuple[nn.Module, ...]  # the same place in the modules of every edge
Step = Callable[[Value, Input, Kernels], Value]


class Stack:
    """``module_e(x)`` for every edge ``e``, as few operations on wide tensors.

    Modules are taken apart into leaves; a place at which all edges have an equal convolution,
    normalization, ReLU or pooling runs once for all, any other runs edge by edge.

    Attributes:
        plain: types of leaves that run edge by edge.
        zero: whether the modules give zeros whatever their input.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.edges = len(modules)
        rows = [tuple(_leaves(module)) for module in modules]
        if len({len(row) for row in rows}) != 1:
            columns: list[Column] = [tuple(modules)]
        else:
            columns = list(zip(*rows, strict=True))
        self.zero = any(all(isinstance(leaf, Zero) for leaf in column) for column in columns)
        self.plain: list[str] = []
        self._steps = list(self._planned(columns))

    def __call__(self, given: Input, kernels: Kernels) -> Value:
        """The values of all edges on one input (N, C, ...)."""
        value = Value(given.x, self.edges, shared=True)
        for step in self._steps:
            value = step(value, given, kernels)
        return value

    def _planned(self, columns: Sequence[Column]) -> Iterator[Step]:
        place = 0
        while place < len(columns):
            if _separable(columns[place : place + 3]):
                yield partial(_run_separable, columns[place + 1], columns[place + 2])
                place += 3
                continue
            run = _after_relu(columns[place : place + 2])
            if run is not None:
                yield partial(run, columns[place + 1])
                place += 2
                continue
            yield self._single(columns[place])
            place += 1

    def _single(self, column: Column) -> Step:
        first = column[0]
        if not _alike(column):
            pass
        elif type(first) is nn.ReLU:
            return _run_relu
        elif _plain_convolution(first):
            return partial(_run_convolution, column)
        elif type(first) in _NORMS and _followed(cast(Norm, first)):
            return partial(_run_norm, column)
        elif isinstance(first, Pool):
            return partial(_run_pool, first)
        self.plain.append(type(first).__name__)
        return partial(_run_plain, column)


def _run_relu(value: Value, given: Input, kernels: Kernels) -> Value:
    if value.z is given.x and not value.norms:
        return Value(given.relu(), value.edges, shared=True)
    z = value.settled(given.follow, kernels)
    return Value(F.relu(z), value.edges, value.still_shared(z))


def _run_separable(
    depthwise: Column, pointwise: Column, value: Value, given: Input, kernels: Kernels
) -> Value:
    """ReLU, depthwise and pointwise convolution, with the normalization open before them."""
    z, norm = value.z, None
    if value.norms and value.norms[0].affine:
        z = value.settled(given.follow, kernels)
    elif value.norms:
        norm = statistics(value, given.follow)
        if len(norm.mean) != z.shape[1]:
            z = repeated(z, value.edges)
    tell_separable(depthwise, pointwise, z, norm)
    first = cast(nn.Conv2d, depthwise[0])
    y, mean, var = kernels.separable(
        z,
        norm,
        _weights(depthwise),
        _weights(pointwise),
        stride=first.stride[0],
        dilation=first.dilation[0],
        edges=value.edges,
    )
    return Value(y, value.edges, False, moments=both(mean, var))


def _run_pointwise(column: Column, value: Value, given: Input, kernels: Kernels) -> Value:
    return _products(column, value.settled(given.follow, kernels), value.edges, kernels)


def _products(column: Column, z: Tensor, edges: int, kernels: Kernels) -> Value:
    """ReLU and the pointwise convolutions of all edges, one product where they read one input."""
    tell(column, Reading(z, relu=True, subsampled=True))
    weight = _weights(column)
    if z.shape[1] == weight.shape[1]:
        y, mean, var = kernels.pointwise(z, weight.flatten(1))
        return Value(y, edges, False, moments=both(mean, var))
    conv: Any = _CONV[z.dim() - 2]
    return Value(conv(F.relu(z), weight, groups=edges), edges, shared=False)


def _run_convolution(column: Column, value: Value, given: Input, kernels: Kernels) -> Value:
    z = value.settled(given.follow, kernels)
    return Value(_convolved(column, z, value.edges), value.edges, shared=False)


def _convolved(column: Column, z: Tensor, edges: int) -> Tensor:
    """The convolutions of all edges (N, edges * C, ...) on one input or on that of each edge."""
    first = cast(nn.Conv2d, column[0])
    tell(column, Reading(z))
    if z.shape[1] == first.in_channels and first.groups > 1 and edges > 1:
        z = repeated(z, edges)
    shared = z.shape[1] == first.in_channels
    conv: Any = _CONV[z.dim() - 2]
    y: Tensor = conv(
        z,
        _weights(column),
        None if first.bias is None else torch.cat([cast(Any, m).bias for m in column]),
        first.stride,
        first.padding,
        first.dilation,
        first.groups if shared else first.groups * edges,
    )
    return y


def _run_halves(column: Column, value: Value, given: Input, kernels: Kernels) -> Value:
    """ReLU and two pointwise convolutions of stride 2 side by side."""
    halves, edges = cast(tuple[Halves, ...], column), value.edges
    z = value.settled(given.follow, kernels)
    sides = [
        _products(convs, _every_second(x), edges, kernels)
        for convs, x in zip(
            (tuple(half.conv1 for half in halves), tuple(half.conv2 for half in halves)),
            (z, shifted(z)),
            strict=True,
        )
    ]
    y = _side_by_side([side.z for side in sides], edges)
    moments = [side.moments for side in sides if side.moments is not None]
    if not moments:
        return Value(y, edges, shared=False)
    mean, var = (
        _side_by_side([each.unsqueeze(0) for each in part], edges)[0]
        for part in zip(*moments, strict=True)
    )
    return Value(y, edges, shared=False, moments=(mean, var))


def _side_by_side(sides: Sequence[Tensor], edges: int) -> Tensor:
    """The channels (N, edges * C, ...) of two values next to each other for every edge."""
    n, _, *size = sides[0].shape
    return torch.cat([side.view(n, edges, -1, *size) for side in sides], 2).flatten(1, 2)


def _every_second(x: Tensor) -> Tensor:
    picked = x[..., ::2] if x.dim() == 3 else x[..., ::2, ::2]
    return picked.contiguous()


def _run_norm(column: Column, value: Value, given: Input, kernels: Kernels) -> Value:
    norms = cast(tuple[Norm, ...], column)
    if value.norms:
        z = value.settled(given.follow, kernels)
        return Value(z, value.edges, value.still_shared(z), norms)
    return Value(value.z, value.edges, value.shared, norms, value.moments)


def _run_pool(pool: Pool, value: Value, given: Input, kernels: Kernels) -> Value:
    z = value.settled(given.follow, kernels)
    y, mean, var = pool.pooled(z, kernels)
    return Value(y, value.edges, value.still_shared(z), moments=both(mean, var))


def _run_plain(column: Column, value: Value, given: Input, kernels: Kernels) -> Value:
    pairs = zip(column, value.split(given.follow, kernels), strict=True)
    return Value(torch.cat([module(x) for module, x in pairs], 1), value.edges, shared=False)


def _weights(column: Column) -> Tensor:
    return joined([cast(nn.Conv2d, module).weight for module in column])


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a sequence runs one after the other; identities are left out."""
    if type(module) is nn.Sequential:
        for part in module:
            yield from _leaves(part)
    elif isinstance(module, InLeaves):
        yield from module.leaves()
    elif type(module) is not nn.Identity:
        yield module


def _alike(column: Column) -> bool:
    """Whether all edges have the same kind of leaf with the same settings, and no hooks."""
    return all(
        type(leaf) is type(column[0]) and _settings(leaf) == _settings(column[0]) for leaf in column
    ) and not any(leaf._forward_hooks or leaf._forward_pre_hooks for leaf in column)


def _settings(leaf: nn.Module) -> dict[str, Any]:
    passing = ("training", "kernels")
    kept = {k: v for k, v in vars(leaf).items() if not k.startswith("_") and k not in passing}
    return {**kept, "parameters": {name: p.shape for name, p in leaf.named_parameters()}}


def _plain_convolution(module: nn.Module) -> bool:
    return type(module) in _CONVS and cast(nn.Conv2d, module).padding_mode == "zeros"


def _followed(norm: Norm) -> bool:
    """Whether its statistics are of the usual kind."""
    return norm.momentum is not None


def _after_relu(columns: Sequence[Column]) -> Callable[..., Value] | None:
    """What runs a ReLU and a pointwise convolution, or a pair of stride 2, if these are such."""
    if len(columns) < 2 or not all(_alike(column) for column in columns):
        return None
    relu, second = (column[0] for column in columns)
    if type(relu) is not nn.ReLU:
        return None
    if type(second) in _CONVS and _is_pointwise(second, 1):
        return _run_pointwise
    if type(second) is Halves and all(_is_pointwise(c, 2) for c in (second.conv1, second.conv2)):
        return _run_halves
    return None


def _separable(columns: Sequence[Column]) -> bool:
    """Whether the columns are a ReLU, a depthwise and a pointwise convolution."""
    if len(columns) < 3 or not all(_alike(column) for column in columns):
        return False
    relu, depthwise, pointwise = (column[0] for column in columns)
    if type(relu) is not nn.ReLU or type(depthwise) not in _CONVS:
        return False
    if type(pointwise) is not type(depthwise):
        return False
    first, second = cast(nn.Conv2d, depthwise), cast(nn.Conv2d, pointwise)
    square = second.in_channels == second.out_channels == first.out_channels
    return _is_depthwise(first) and _is_pointwise(second, 1) and square


def _is_depthwise(conv: nn.Conv2d) -> bool:
    kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
    if isinstance(conv.padding, str):
        return False
    square = len({*kernel}) == len({*stride}) == len({*dilation}) == 1
    same = all(
        p == d * (k - 1) // 2 for p, d, k in zip(conv.padding, dilation, kernel, strict=True)
    )
    channels = conv.groups == conv.in_channels == conv.out_channels
    usual = kernel[0] in (1, 3, 5, 7) and stride[0] in (1, 2) and dilation[0] in (1, 2)
    return square and same and channels and usual and conv.bias is None


def _is_pointwise(conv: nn.Module, stride: int) -> bool:
    if type(conv) not in _CONVS or isinstance(cast(nn.Conv2d, conv).padding, str):
        return False
    conv = cast(nn.Conv2d, conv)
    plain = {*conv.kernel_size, *conv.dilation, conv.groups} == {1}
    return plain and {*conv.stride} == {stride} and {*conv.padding} == {0} and conv.bias is None
