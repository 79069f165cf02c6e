"""The units of a blueprint: the largest modules without a choice inside, each at its place.

A derived network is made of some of them, so that what one of them costs alone, such as time, adds
up to what the network costs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nas.costs.opened import AllOpen, run_once
from nas.searchable import MixedOp
from nas.supernet import Slot

Shapes = tuple[tuple[int, ...], ...]  # of the tensors that a module is called with, no batch axis
Key = tuple[str, str]  # place and candidate
_SIMPLE = (bool, int, float, str, type(None))


@dataclass(frozen=True, eq=False)
class Unit:
    """A module of the blueprint that runs as a whole or not at all.

    Attributes:
        place: its name in the blueprint; of a candidate, that of the mixed operation it is in.
        candidate: which one; empty for a fixed part.
        decision: that chooses the candidate; empty for a fixed part.
        module: itself, on the blueprint's device.
        calls: the shapes that each of its calls in one forward gets.
        operation: twelve hex digits that equal modules share.
    """

    place: str
    candidate: str
    decision: str
    module: nn.Module
    calls: tuple[Shapes, ...]
    operation: str

    @property
    def key(self) -> Key:
        """Place and candidate, which no other unit of the blueprint has."""
        return self.place, self.candidate

    @property
    def text(self) -> str:
        """What it is, for people: the candidate, or the class of a fixed part."""
        return self.candidate or type(self.module).__name__


def units(net: nn.Module, input_shape: Sequence[int]) -> list[Unit]:
    """The units of a blueprint in the order of its modules; it is run once, where it is.

    Args:
        net: the blueprint.
        input_shape: of one input, without batch axis.

    Raises:
        SpaceError: for a hard decision, of which not all candidates can run in one forward.
    """
    calls = _calls(net, input_shape)
    return list(_below(net, "", ("", "", ""), calls))


def fingerprint_of(found: Sequence[Unit]) -> str:
    """Twelve hex digits over places, operations and shapes: what a table of units must match."""
    record = [[unit.place, unit.candidate, unit.operation, unit.calls] for unit in found]
    return _digest(record)


def _calls(net: nn.Module, input_shape: Sequence[int]) -> dict[nn.Module, list[Shapes]]:
    """The shapes of all calls of every module that gets nothing but tensors."""
    calls: dict[nn.Module, list[Shapes]] = {}

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if all(isinstance(value, Tensor) for value in inputs):
            shapes = tuple(tuple(value.shape[1:]) for value in inputs if isinstance(value, Tensor))
            calls.setdefault(module, []).append(shapes)

    run_once(AllOpen(net), input_shape, hook)
    return calls


def _below(
    module: nn.Module,
    name: str,
    inside: tuple[str, str, str],
    calls: Mapping[nn.Module, Sequence[Shapes]],
) -> Iterator[Unit]:
    """The units in ``module``; ``inside`` is the candidate it belongs to, with place, decision."""
    if module in calls and not any(isinstance(part, Slot) for part in module.modules()):
        place, candidate, decision = inside if inside[1] else (name, "", "")
        yield Unit(
            place, candidate, decision, module, tuple(calls[module]), operation_digest(module)
        )
        return
    if isinstance(module, MixedOp):
        chosen = module.slot.decision
        for each, part in zip(chosen.candidates, module.ops.values(), strict=True):
            text = f"{inside[1]}/{each}" if inside[1] else str(each)
            within = (inside[0] or name, text, chosen.name)
            yield from _below(part, f"{name}.{each}", within, calls)
        return
    for child, part in module.named_children():
        if isinstance(part, Slot):
            continue
        below = (inside[0], f"{inside[1]}.{child}", inside[2]) if inside[1] else inside
        yield from _below(part, f"{name}.{child}" if name else child, below, calls)


def operation_digest(module: nn.Module) -> str:
    """Twelve hex digits over classes, plain settings and shapes of tensors, however deep."""
    return _digest(_structure(module))


def _structure(module: nn.Module) -> list[object]:
    plain = {
        name: value
        for name, value in sorted(vars(module).items())
        if name != "training" and not name.startswith("_") and _is_simple(value)
    }
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [
        f"{type(module).__module__}.{type(module).__qualname__}",
        plain,
        [[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in tensors],
        [[name, _structure(part)] for name, part in module.named_children()],
    ]


def _is_simple(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_simple, value))
    return isinstance(value, _SIMPLE)


def _digest(record: object) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
