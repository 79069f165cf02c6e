"""Reads a map-style data set from its first to its last pair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import Tensor

from nas.data.arrays import check_classes, to_inputs, to_targets
from nas.data.assemble import Samples, all_training
from nas.data.images import MAX_DECODED
from nas.data.late import LateProgress
from nas.errors import NasError


def read_pairs(make: Callable[[], Any], name: str, layout: str) -> tuple[Samples, str]:
    """All samples of the data set that ``make`` returns, and the SHA-256 of their contents.

    Raises:
        NasError: naming the sample that cannot be read or differs from the first one.
    """
    source = _built(make, name)
    count = len(source)
    if count == 0:
        raise NasError(f"{name} is empty; check its arguments (data.dataset)")
    inputs: np.ndarray | None = None
    targets = []
    with ExitStack() as stack:
        progress = LateProgress(f"reading {name.rpartition('.')[2]}", count, stack)
        for index in range(count):
            value, target = _pair(source, index, name)
            if inputs is None:
                inputs = _room(value, count, name)
            if value.shape != inputs.shape[1:] or value.dtype != inputs.dtype:
                raise NasError(
                    f"{name}: input {index} is {value.dtype} of shape {value.shape}, input 0 "
                    f"{inputs.dtype} of {inputs.shape[1:]}; return inputs of one type and shape"
                )
            inputs[index] = value
            targets.append(target)
            progress.advance()
    assert inputs is not None
    found = to_targets(_stacked(targets, name), f"the targets of {name}")
    classes = check_classes(found, f"the targets of {name}", _class_names(source))
    moved = to_inputs(inputs, layout, f"the inputs of {name}")
    return Samples(moved, found, all_training(count), classes), _digest(moved, found)


def _built(make: Callable[[], Any], name: str) -> Any:
    try:
        source = make()
    except NasError:
        raise
    except Exception as error:  # whatever a user's class may raise
        raise NasError(f"{name} cannot be built: {_told(error)}; check data.dataset") from error
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise NasError(
            f"{name} has no __len__ or no __getitem__; only map-style data sets can be read, "
            "since splits are made by index"
        )
    return source


def _pair(source: Any, index: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        entry = source[index]
        pair = isinstance(entry, tuple | list) and len(entry) == 2
        value, target = (_array(part) for part in entry) if pair else (None, None)
    except NasError:
        raise
    except Exception as error:  # whatever a user's class may raise
        raise NasError(
            f"{name} fails at sample {index}: {_told(error)}; mend it or leave that sample out"
        ) from error
    if value is None or target is None:
        raise NasError(
            f"{name}: sample {index} is a {type(entry).__name__}, not a pair (input, target); "
            "return both"
        )
    return value, target


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _room(value: np.ndarray, count: int, name: str) -> np.ndarray:
    if value.nbytes * count > MAX_DECODED:
        raise NasError(
            f"{name}: {count} inputs of shape {value.shape} take "
            f"{value.nbytes * count / 2**30:.0f} GiB, more than {MAX_DECODED // 2**30}; "
            "return smaller ones or fewer"
        )
    return np.empty((count, *value.shape), dtype=value.dtype)


def _stacked(targets: Sequence[np.ndarray], name: str) -> np.ndarray:
    shapes = {target.shape for target in targets}
    if len(shapes) > 1:
        raise NasError(
            f"{name}: targets have the shapes {', '.join(map(str, sorted(shapes)))}; return a "
            "class, or labels of one number, for every sample"
        )
    return np.stack(targets)


def _class_names(source: Any) -> tuple[str, ...]:
    """What torchvision's data sets, and those written like them, call ``classes``."""
    names = getattr(source, "classes", ())
    usable = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if usable else ()


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _digest(*tensors: Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(np.ascontiguousarray(tensor.numpy()).data)
    return found.hexdigest()
