"""The contract of a data source."""

from __future__ import annotations

import builtins
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from nas.dataspec import DataSpec
from nas.testing import common
from nas.testing.common import attempting, require

SPLITS = ("weights", "architecture", "validation", "test")  # of nas.data, which lies above
HEAVY = {"torch", "torchvision"}
PARTS = ("spec", "inputs", "targets", "splits", "fingerprint", "name")
LEAK = 0.5  # share of test samples from which on they are the training samples once more
APART = 3.0  # so many times a deviation may be off: constants published for other data are allowed

Arguments = Mapping[str, Any]


def check_data_source(
    make: Callable[..., Any],
    *,
    changes: Iterable[Arguments] = (),
    moved: Iterable[Arguments] = (),
    seed: int = 0,
) -> None:
    """Check a data source: what its fingerprint covers, and that what it loads is what it says.

    Args:
        make: makes one, with other arguments by keyword, as ``functools.partial(Mine, root=...)``.
        changes: arguments that each change the data or the splits.
        moved: values of its ``places`` under which the same data lie.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    source, again = _made(make, {}), _made(make, {})
    mark = _check_fingerprint(source)
    _check_mark("a second source", again, mark)
    _check_arguments(make, mark, changes, moved)
    first = _loaded(source, seed)
    _check_spec(first)
    _check_splits(first)
    _check_test_split(first)
    _check_statistics(first)
    _check_equal(first, _loaded(again, seed + 1))
    _check_mark("the source after load()", source, mark)
    _check_mark("a copy of the source", _copied(source), mark)


def _made(make: Callable[..., Any], arguments: Arguments) -> Any:
    with attempting(f"making the source with {dict(arguments) or 'its own arguments'}"):
        source = make(**arguments)
    for name in ("fingerprint", "load"):
        require(callable(getattr(source, name, None)), f"a data source needs {name}()")
    return source


def _copied(source: Any) -> Any:
    with attempting("copying the source"):
        return copy.deepcopy(source)


def _check_fingerprint(source: Any) -> str:
    with _watched() as imported, attempting("fingerprint()"):
        mark = source.fingerprint()
    require(isinstance(mark, str) and bool(mark), f"fingerprint() must be a text, got {mark!r}")
    heavy = sorted(imported & HEAVY)
    require(
        not heavy,
        f"fingerprint() imports {', '.join(heavy)}: a run's folder is named by it, before anything "
        "slow is loaded; import that in load()",
    )
    return str(mark)


def _check_mark(which: str, source: Any, mark: str) -> None:
    found = source.fingerprint()
    require(found == mark, f"{which} has another fingerprint, with the same arguments")


@contextmanager
def _watched() -> Iterator[set[str]]:
    """The packages that are imported inside, also those that were imported before."""
    seen: set[str] = set()
    usual = builtins.__import__

    def watching(name: str, *more: Any, **others: Any) -> Any:
        seen.add(name.partition(".")[0])
        return usual(name, *more, **others)

    builtins.__import__ = watching
    try:
        yield seen
    finally:
        builtins.__import__ = usual


def _check_arguments(
    make: Callable[..., Any], mark: str, changes: Iterable[Arguments], moved: Iterable[Arguments]
) -> None:
    for arguments in changes:
        require(
            _made(make, arguments).fingerprint() != mark,
            f"{_told(arguments)} changes the data and not the fingerprint: a run with other data "
            "would be taken for the same run",
        )
    for arguments in moved:
        source = _made(make, arguments)
        places = tuple(getattr(source, "places", ()))
        unlisted = sorted(set(arguments) - set(places))
        require(not unlisted, f"{', '.join(unlisted)} is not among places {places}")
        require(
            source.fingerprint() == mark,
            f"{_told(arguments)} only says where the data lie, and changes the fingerprint",
        )


def _told(arguments: Arguments) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _loaded(source: Any, seed: int) -> Any:
    """What the source loads, with the global generators in a state of ``seed``."""
    with common.seeded(seed), attempting("load()"):
        data = source.load()
    lacking = [name for name in PARTS if not hasattr(data, name)]
    require(not lacking, f"load() must return an ArrayData; what it returned lacks {lacking}")
    require(isinstance(data.spec, DataSpec), f"spec must be a DataSpec, got {data.spec!r}")
    return data


def _check_spec(data: Any) -> None:
    spec, inputs, targets = data.spec, data.inputs, data.targets
    counts = {len(leaf) for leaf in (*tree_leaves(inputs), *tree_leaves(targets))}
    require(len(counts) == 1, f"inputs and targets must be as many, got {sorted(counts)}")
    if isinstance(inputs, Tensor):
        shape = tuple(inputs.shape[1:])
        require(
            shape == spec.input_shape,
            f"one input has the shape {shape}, the DataSpec says {spec.input_shape}",
        )
        require(
            inputs.dtype in (torch.uint8, torch.float32),
            f"inputs must be uint8 in 0..255 or float32, got {inputs.dtype}",
        )
        require(bool(inputs.float().isfinite().all()), "some input is NaN or infinite")
    if isinstance(targets, Tensor) and spec.kind == "classes":
        known = targets.dtype == torch.int64 and targets.dim() == 1
        require(known, f"classes must be (N,) int64, got {targets.dtype} {tuple(targets.shape)}")
        low, high = int(targets.min()), int(targets.max())
        require(
            low >= 0 and high < spec.outputs,
            f"targets lie in {low}..{high}, the DataSpec says {spec.outputs} classes",
        )


def _check_splits(data: Any) -> None:
    lacking = [name for name in SPLITS if name not in data.splits]
    require(not lacking, f"there is no split {', '.join(lacking)}; a run needs {', '.join(SPLITS)}")
    total = len(tree_leaves(data.inputs)[0])
    for name, indices in data.splits.items():
        inside = len(indices) and int(indices.min()) >= 0 and int(indices.max()) < total
        require(bool(inside), f"split {name!r} must hold indices below {total}, and one at least")
        require(len(indices.unique()) == len(indices), f"split {name!r} holds a sample twice")
    for one, other in combinations(data.splits, 2):
        shared = set(data.splits[one].tolist()) & set(data.splits[other].tolist())
        require(not shared, f"splits {one!r} and {other!r} share {len(shared)} samples")
    if isinstance(data.targets, Tensor) and data.spec.kind == "classes":
        counts = data.targets[_training(data)].bincount(minlength=data.spec.outputs)
        absent = (counts == 0).nonzero()[:, 0].tolist()
        require(not absent, f"no sample of class {absent[:5]} is among those that are trained on")


def _training(data: Any) -> Tensor:
    return torch.cat([data.splits["weights"], data.splits["architecture"]])


def _check_test_split(data: Any) -> None:
    """The samples of test are no copies of those that are trained on."""
    if not (isinstance(data.inputs, Tensor) and isinstance(data.targets, Tensor)):
        return
    seen, test = set(_samples(data, _training(data))), _samples(data, data.splits["test"])
    copies = sum(sample in seen for sample in test)
    require(
        copies < LEAK * len(test),
        f"{copies} of the {len(test)} samples of split 'test' are among those that are trained on",
    )


def _samples(data: Any, indices: Tensor) -> list[bytes]:
    return [
        data.inputs[index].numpy().tobytes() + data.targets[index].numpy().tobytes()
        for index in indices.tolist()
    ]


def _check_statistics(data: Any) -> None:
    """Mean and deviation are of inputs as they are trained on: bytes are divided by 255 before."""
    if not (data.spec.mean and isinstance(data.inputs, Tensor)):
        return
    inputs = data.inputs[_training(data)].double()
    inputs = inputs / 255 if data.inputs.dtype == torch.uint8 else inputs
    values = inputs.transpose(0, 1).flatten(1)
    for channel, (mean, std) in enumerate(zip(data.spec.mean, data.spec.std, strict=True)):
        own = float(values[channel].mean()), float(values[channel].std(correction=0)) or 1.0
        fits = abs(mean - own[0]) <= APART * own[1] and own[1] / APART <= std <= own[1] * APART
        require(
            fits,
            f"channel {channel} of the inputs that are trained on has mean {own[0]:.4g} and "
            f"deviation {own[1]:.4g} (bytes divided by 255), the DataSpec says {mean:.4g} and "
            f"{std:.4g}",
        )


def _check_equal(first: Any, second: Any) -> None:
    text = "loading twice gives other {}: what is random there needs a generator of its own"
    require(first.spec == second.spec, text.format("specifications"))
    require(first.fingerprint == second.fingerprint, text.format("fingerprints"))
    same = first.splits.keys() == second.splits.keys() and all(
        torch.equal(indices, second.splits[name]) for name, indices in first.splits.items()
    )
    require(same, text.format("splits"))
    for name in ("inputs", "targets"):
        pairs = zip(
            tree_leaves(getattr(first, name)), tree_leaves(getattr(second, name)), strict=True
        )
        require(all(torch.equal(one, other) for one, other in pairs), text.format(name))
