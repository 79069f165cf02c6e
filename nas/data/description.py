"""A data set in a few lines, for whoever starts a run on it."""

from __future__ import annotations

from nas.data.base import ArrayData
from nas.dataspec import DataSpec

WIDTH = 80
"""Columns of a value, so that a line stays within 100 beside its name."""


def describe(data: ArrayData) -> list[tuple[str, str]]:
    """Rows of name and value: inputs, classes, splits, normalization and notes."""
    spec = data.spec
    rows = [("data", f"{data.name}: {len(data)} {_inputs(spec)}, {_outputs(spec)}")]
    if spec.classes:
        rows.append(("classes", shortened(spec.classes)))
    seed = "" if data.split_seed is None else f" (split_seed {data.split_seed})"
    counts = ", ".join(f"{split} {count}" for split, count in data.counts().items())
    rows.append(("splits", counts + seed))
    if spec.mean:
        rows.append(("scaled by", f"mean {_numbers(spec.mean)}, std {_numbers(spec.std)}"))
    return [*rows, *(("note", note) for note in data.notes)]


def shortened(names: tuple[str, ...], width: int = WIDTH) -> str:
    """The names in one line, those that do not fit being counted only."""
    short = [name if len(name) <= 24 else f"{name[:21]}..." for name in names]
    for kept in range(len(short), 0, -1):
        rest = len(short) - kept
        text = ", ".join(short[:kept]) + (f" and {rest} more" if rest else "")
        if len(text) <= width:
            return text
    return f"{len(short)} in all"


def _inputs(spec: DataSpec) -> str:
    size = "x".join(map(str, spec.size))
    word = "images" if spec.dims == 2 else "sequences"
    channels = "channel" if spec.channels == 1 else "channels"
    return f"{word} of {size}, {spec.channels} {channels}"


def _outputs(spec: DataSpec) -> str:
    if spec.kind == "dense":
        return f"{spec.outputs} outputs per position"
    if spec.kind == "image":
        return f"{spec.outputs} channels of {'x'.join(map(str, spec.output_size))} out"
    return f"{spec.outputs} {'classes' if spec.kind == 'classes' else 'labels'}"


def _numbers(values: tuple[float, ...]) -> str:
    shown = " ".join(f"{value:.4f}" for value in values[:4])
    return shown if len(values) <= 4 else f"{shown} ..."
