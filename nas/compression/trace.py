"""A network as a graph of layers and functions in which the shape of every value is known.

Shapes are known while the network is traced, so code that asks for them (``x.size(0)``,
``if x.dim() == 3``) runs as it would on data, and only what changes values becomes a node. Nothing
is computed: values are tensors on the meta device, and layers are known by their settings.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from nas.compression.layers import is_known, makes_channels, output_of
from nas.errors import NasError, SpaceError
from nas.searchable import plain_execution

BATCH = 2  # not 1, which would fit any shape
_ASKED = ("dim", "ndimension", "numel", "nelement", "stride", "is_contiguous", "element_size")
_REMEDY = (
    "write it with layers of torch.nn and functions of torch.nn.functional, without decisions on "
    "values, or as a subclass of nn.Identity if it treats every channel alone"
)
Check = Callable[[fx.Node], None]


class Measured(int):
    """A number that the code read off a shape, so that it follows when channels are cut."""

    def __mul__(self, other: int) -> int:
        product = int(self) * other
        return Measured(product) if isinstance(product, int) else product

    __rmul__ = __mul__


def trace(net: nn.Module, input_shape: Sequence[int], check: Check) -> fx.Graph:
    """The graph of one evaluation of ``net``; ``node.meta["value"]`` has each value's shape.

    Nodes of known layers are ``call_module``, with their names in ``net``. An auxiliary head that
    the network offers for training (``forward_with_auxiliary``) is part of the graph.

    Args:
        net: left as it is, its mode included.
        input_shape: of one input, without batch axis.
        check: raises SpaceError for a node that it does not know; called before the node's shape
            is worked out.

    Raises:
        SpaceError: for what cannot be traced, with the name of the module that it is in, and for
            shapes that do not fit.
    """
    with _evaluated(net), plain_execution(net), torch.no_grad():
        return _Tracer(input_shape, check).trace(_Whole(net))


def value_of(node: fx.Node) -> Any:
    """The node's value: a tensor on the meta device, or a nesting of them."""
    return node.meta["value"]


def first(node: fx.Node) -> Any:
    """What a layer or a function is applied to."""
    return node.args[0] if node.args else next(iter(node.kwargs.values()))


def named(node: fx.Node) -> str:
    """What a node is, for messages: ``conv1``, or ``'add' in 'layer1.0'``."""
    if node.op == "call_module":
        return repr(node.target)
    inside = node.meta["inside"]
    return f"{function_of(node)!r} in {inside!r}" if inside else f"{function_of(node)!r}"


def function_of(node: fx.Node) -> str:
    """The name of the function or method that a node calls, without a trailing underscore."""
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    return name.rstrip("_") if not name.startswith("_") else name


class _Whole(nn.Module):
    """One input, whatever else the network's ``forward`` would take."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        if getattr(self.net, "auxiliary", None) is not None:
            extended = getattr(self.net, "forward_with_auxiliary", None)
            if extended is not None:
                return extended(x)
        return self.net(x)


class _Value(fx.Proxy):
    """A value in the making that knows its shape."""

    def __getattr__(self, name: str) -> Any:
        value = value_of(self.node)
        if name == "shape":
            return _size(value)
        if name == "size":
            return lambda dim=None: _size(value) if dim is None else _size(value)[dim]
        found = getattr(value, name)
        if name in _ASKED or not (isinstance(found, Tensor) or callable(found)):
            return found
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(value_of(self.node))

    def __iter__(self) -> Iterator[Any]:
        return (operator.getitem(self, index) for index in range(len(self)))


def _size(value: Tensor) -> torch.Size:
    return torch.Size(map(Measured, value.shape))


class _Tracer(fx.Tracer):
    def __init__(self, input_shape: Sequence[int], check: Check) -> None:
        super().__init__()
        self._input_shape, self._check = tuple(input_shape), check
        self._inside = [""]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_known(m)

    def path_of_module(self, mod: nn.Module) -> str:
        return super().path_of_module(mod).removeprefix("net").removeprefix(".")

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val  # parameters are constants here

    def create_arg(self, a: Any) -> Any:
        return a if isinstance(a, Tensor) else super().create_arg(a)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        name = self.path_of_module(m)
        self._inside.append(name)
        try:
            return super().call_module(m, forward, args, kwargs)
        except NasError:
            raise
        except Exception as error:  # anything that the code of a module may raise
            what = f"module {name!r} of type {type(m).__name__}" if name else "the network"
            raise SpaceError(f"{what} cannot be traced ({error}); {_REMEDY}") from error
        finally:
            self._inside.pop()

    def create_proxy(self, *args: Any, **kwargs: Any) -> fx.Proxy:
        proxy = super().create_proxy(*args, **kwargs)
        node = proxy.node
        node.meta["inside"] = self._inside[-1]
        self._check(node)
        try:
            node.meta["value"] = self._evaluate(node)
        except (RuntimeError, ValueError, IndexError) as error:
            raise SpaceError(self._misfit(node, error)) from error
        return proxy

    def _evaluate(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            kinds = (p.dtype for p in self.root.parameters() if p.is_floating_point())
            dtype = next(kinds, torch.get_default_dtype())
            return torch.empty(BATCH, *self._input_shape, dtype=dtype, device="meta")
        args, kwargs = tree_map(_meta, fx.node.map_arg((node.args, node.kwargs), value_of))
        if node.op == "call_module":
            return output_of(self._layer(node), *args, *kwargs.values())
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _misfit(self, node: fx.Node, error: Exception) -> str:
        told = []
        for each in node.all_input_nodes:
            if isinstance(value := value_of(each), Tensor):
                made = " and ".join(self._makers(each))
                told.append(f"{made} (shape {tuple(map(int, value.shape[1:]))})")
        return (
            f"{named(node)} cannot take what {' with '.join(told)} gives: {error}; make widths and "
            "sizes agree there"
        )

    def _makers(self, node: fx.Node) -> list[str]:
        """The layers nearest before a value that make channels, or the input."""
        found: dict[str, None] = {}
        waiting, seen = [node], {node}
        while waiting:
            each = waiting.pop()
            if each.op == "placeholder":
                found["the network's input"] = None
            elif each.op == "call_module" and makes_channels(self._layer(each)):
                found[named(each)] = None
            else:
                before = [other for other in each.all_input_nodes if other not in seen]
                seen.update(before)
                waiting.extend(before)
        return list(found)

    def _layer(self, node: fx.Node) -> nn.Module:
        net: nn.Module = self.root.get_submodule("net")
        return net.get_submodule(str(node.target))


def _meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


@contextmanager
def _evaluated(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
