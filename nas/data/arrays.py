"""From arrays as people store them to inputs ``(N, C, *spatial)`` and targets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from nas.errors import NasError

LAYOUTS: Mapping[str, tuple[int, ...] | None] = MappingProxyType(
    {"NL": None, "NCL": (0, 1, 2), "NLC": (0, 2, 1), "NHW": None, "NHWC": (0, 3, 1, 2)}
    | {"NCHW": (0, 1, 2, 3)}
)
"""How each order of axes is permuted to ``(N, C, *spatial)``; None inserts the channel axis."""
CHANNELS = (1, 3, 4)
"""Lengths by which an axis of four is taken for the channels."""


def to_inputs(array: np.ndarray, layout: str, where: str) -> Tensor:
    """``(N, C, *spatial)`` uint8 or float32 of an array.

    Args:
        array: integers in 0..255, booleans, or floating-point numbers.
        layout: one of ``LAYOUTS``, or ``auto``: two axes are NL; three are NHW if the last two
            are equally long; four are NHWC or NCHW by which of the two axes has 1, 3 or 4 entries.
        where: name of the array and its file, for messages.

    Raises:
        NasError: if the layout cannot be told or does not fit, or a value cannot be used.
    """
    order = _guessed(array, where) if layout == "auto" else layout
    if array.ndim != len(order):
        raise NasError(
            f"{where} has {array.ndim} axes {array.shape}, but layout={order} means {len(order)}; "
            f"set data.layout to one of {', '.join(LAYOUTS)}"
        )
    if 0 in array.shape:
        raise NasError(f"{where} is empty, its shape is {array.shape}; store at least one sample")
    axes = LAYOUTS[order]
    moved = array[:, None] if axes is None else array.transpose(axes)
    return torch.from_numpy(np.ascontiguousarray(_values(moved, where)))


def to_targets(array: np.ndarray, where: str) -> Tensor:
    """Classes ``(N,)`` int64, or labels ``(N, K)`` float32 in {0, 1}, of an array.

    ``(N, 1)`` counts as ``(N,)``.

    Raises:
        NasError: if it is neither.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
        raise NasError(
            f"{where} has the shape {array.shape} and the type {array.dtype}; targets are whole "
            "numbers (N,), one class each, or zeros and ones (N, K), any of K labels each"
        )
    if array.ndim == 1:
        return _classes(array, where)
    if not np.isin(array, (0, 1)).all():  # so written, NaN fails as well
        raise NasError(
            f"{where} has the shape {array.shape} and other values than 0 and 1; "
            "labels (N, K) are 0 or 1, and classes are written (N,)"
        )
    return torch.from_numpy(array.astype(np.float32))


def check_classes(targets: Tensor, where: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names of the classes or labels of the training targets; numbers where none are given.

    Raises:
        NasError: if classes are not numbered 0..K-1, one has no sample, or there is only one.
    """
    if targets.dim() == 2:
        if names and len(names) != targets.shape[1]:
            raise NasError(
                f"{where} has {targets.shape[1]} labels but there are {len(names)} names for them; "
                "give one each"
            )
        return names
    low, high = int(targets.min()), int(targets.max())
    count = len(names) or high + 1
    if low < 0 or high >= count:
        raise NasError(
            f"{where} holds classes {low}..{high}, but {count} classes are numbered "
            f"0..{count - 1}; number them from 0 without gaps"
        )
    empty = (targets.bincount(minlength=count) == 0).nonzero()[:, 0].tolist()
    if empty:
        shown = ", ".join(names[k] if names else str(k) for k in empty[:5])
        raise NasError(
            f"{where} has no sample of {len(empty)} of {count} classes: {shown}; number classes "
            "from 0 without gaps, or add samples"
        )
    if count < 2:
        raise NasError(f"{where} has one class only; a search needs at least two")
    return names or tuple(map(str, range(count)))


def _guessed(array: np.ndarray, where: str) -> str:
    if array.ndim == 2:
        return "NL"
    if array.ndim == 3 and array.shape[1] == array.shape[2]:
        return "NHW"
    if array.ndim == 4:
        last, second = array.shape[3] in CHANNELS, array.shape[1] in CHANNELS
        if last != second:
            return "NHWC" if last else "NCHW"
    raise NasError(
        f"{where} has the shape {array.shape}, which can be read in several ways; "
        f"set data.layout to one of {', '.join(LAYOUTS)}"
    )


def _values(array: np.ndarray, where: str) -> np.ndarray:
    kind = array.dtype.kind
    if kind == "b" or array.dtype == np.uint8:
        return array.astype(np.uint8)
    if kind in "iu":
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise NasError(
                f"{where} holds whole numbers {low}..{high}; only 0..255 are taken for gray "
                "levels, store others as float32"
            )
        return array.astype(np.uint8)
    if kind != "f":
        raise NasError(
            f"{where} is of type {array.dtype}; inputs are uint8 in 0..255, or floating-point"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is found below
        values = array.astype(np.float32)
    finite = np.isfinite(values).reshape(len(values), -1).all(1)
    if not finite.all():
        raise NasError(
            f"{where} holds a value that is NaN or infinite in sample {int((~finite).argmax())} "
            f"({int((~finite).sum())} such samples); repair or remove them"
        )
    return values


def _classes(array: np.ndarray, where: str) -> Tensor:
    if len(array) == 0:
        raise NasError(f"{where} is empty; store one target per sample")
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise NasError(
            f"{where} holds numbers that are not whole, where a class is a whole number from 0; "
            "a data set of values needs a DataSource of your own (data._target_)"
        )
    if float(array.max()) > 2**31:
        raise NasError(f"{where} holds the class {array.max()}; number classes from 0")
    return torch.from_numpy(array.astype(np.int64))
