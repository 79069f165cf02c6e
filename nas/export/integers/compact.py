"""A model of ONNX with short names: they are a large part of a file of few bits."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping

from nas.export.integers.graph import Proto, replace

_KEPT = ("codes", "inputs.scale")  # by these a layer's weights and its input are found
_DIGITS = string.digits + string.ascii_letters


def compact(model: Proto) -> None:
    """Join constants of one byte that are equal and shorten the names of inner values, in place."""
    graph = model.graph
    _join(graph)
    kept = {each.name for each in (*graph.input, *graph.output)}
    kept |= {each.name for each in graph.initializer if each.name.endswith(_KEPT)}
    inner = dict.fromkeys(each.name for each in graph.initializer)
    inner |= dict.fromkeys(name for node in graph.node for name in node.output)
    inner = {name: None for name in inner if name and name not in kept}
    short = (name for name in _short_names() if name not in kept)
    _rename(graph, dict(zip(inner, short, strict=False)))
    for node in graph.node:
        node.ClearField("name")


def _join(graph: Proto) -> None:
    first: dict[tuple[int, bytes], str] = {}
    same: dict[str, str] = {}
    for each in graph.initializer:
        if len(each.raw_data) == 1 and not each.dims:
            same[each.name] = first.setdefault((each.data_type, each.raw_data), each.name)
    _rename(graph, same)
    alone = {each.name: each for each in graph.initializer}
    replace(graph.initializer, list(alone.values()))


def _rename(graph: Proto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for each in graph.initializer:
        each.name = names.get(each.name, each.name)


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_DIGITS, repeat=length):
            yield "".join(letters)
