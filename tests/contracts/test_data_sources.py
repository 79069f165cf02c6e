"""The contract of data sources: every shipped one passes it, every fault is found."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import nas.data
from nas.data import (
    SPLITS,
    ArrayData,
    DataSource,
    Digits,
    Folder,
    Npz,
    Standard,
    Synthetic,
    Wrapped,
)
from nas.dataspec import DataSpec
from nas.testing import check_data_source, data_source
from tests.nas.data.made import encoded, pixels
from tests.nas.data.standards import write_mnist

Make = Callable[..., DataSource]
SPLIT = [{"split_seed": 1}, {"architecture": 0.3}]


class Pairs:
    """Gray pictures of two classes."""

    def __init__(self, count: int = 60) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return pixels(index, 4, 1), index % 2


def npz(place: Path) -> tuple[Make, list[dict[str, Any]], list[dict[str, Any]]]:
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    for name in ("a.npz", "b.npz"):
        np.savez(place / name, x=images, y=np.arange(60) % 3)
    np.savez(place / "c.npz", x=255 - images, y=np.arange(60) % 3)
    changes = [*SPLIT, {"samples": 40}, {"test": 9}, {"file": str(place / "c.npz")}]
    return partial(Npz, file=str(place / "a.npz")), changes, [{"file": str(place / "b.npz")}]


def folder(place: Path) -> tuple[Make, list[dict[str, Any]], list[dict[str, Any]]]:
    for root in ("pets", "moved"):
        for index in range(40):
            file = place / root / ("cats", "dogs")[index % 2] / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(pixels(index)))
    changes = [*SPLIT, {"size": 4}, {"channels": 1}]
    return partial(Folder, root=str(place / "pets")), changes, [{"root": str(place / "moved")}]


def standard(place: Path) -> tuple[Make, list[dict[str, Any]], list[dict[str, Any]]]:
    images = np.random.default_rng(0).integers(0, 256, (80, 28, 28), dtype=np.uint8)
    for root in ("a", "b"):
        write_mnist(place / root, "MNIST", images, 60)
    make = partial(Standard, dataset="mnist", root=str(place / "a"))
    return make, [*SPLIT, {"samples": 50}], [{"root": str(place / "b")}, {"download": True}]


def wrapped(place: Path) -> tuple[Make, list[dict[str, Any]], list[dict[str, Any]]]:
    return partial(Wrapped, dataset=Pairs), [*SPLIT, {"dataset": partial(Pairs, 50)}], []


def synthetic(problem: str) -> Callable[[Path], Any]:
    small = {"samples": 60, "size": 32, "test": 10, "validation": 10}
    changes = [*SPLIT, {"seed": 1}, {"noise": 0.5}, {"samples": 70}]
    return lambda place: (partial(Synthetic, problem=problem, **small), changes, [])  # type: ignore[arg-type]


GOOD: dict[str, Callable[[Path], Any]] = {
    "Digits": lambda place: (Digits, [*SPLIT, {"test": 500}], []),
    "Npz": npz,
    "Folder": folder,
    "Standard": standard,
    "Wrapped": wrapped,
    **{f"Synthetic {name}": synthetic(name) for name in ("waves", "labels", "regions", "fields")},
}


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD.keys())
def test_shipped_sources_pass(made: Callable[[Path], Any], tmp_path: Path) -> None:
    make, changes, moved = made(tmp_path)
    check_data_source(make, changes=changes, moved=moved)
    source = make()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()


def test_every_shipped_source_is_tried() -> None:
    classes = [getattr(nas.data, name) for name in nas.data.__all__]
    sources = {each.__name__ for each in classes if hasattr(each, "load")} - {"DataSource"}
    assert sources == {name.split()[0] for name in GOOD}


def test_the_splits_are_those_of_the_data() -> None:
    assert data_source.SPLITS == SPLITS


SPEC = DataSpec((1, 4, 4), "classes", 2, mean=(0.5,), std=(0.3,))
INDICES = dict(zip(SPLITS, torch.arange(40).split(10), strict=True))


def good() -> ArrayData:
    inputs = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return ArrayData(SPEC, inputs, torch.arange(40) % 2, INDICES, "mark", "own")


@dataclass(frozen=True)
class Source:
    """A source of which single parts are replaced."""

    places: ClassVar[tuple[str, ...]] = ("root",)
    made: Callable[[], Any] = good
    marked: Callable[[Source], Any] = lambda source: f"own {source.size}"
    root: str = "here"
    size: int = 1
    held: Any = None

    def fingerprint(self) -> Any:
        return self.marked(self)

    def load(self) -> Any:
        return self.made()


def altered(**changes: Any) -> Callable[[], Any]:
    """Data that no ArrayData would be made of."""
    return lambda: SimpleNamespace(**{**vars(good()), **changes})


def drawn() -> ArrayData:
    return replace(good(), inputs=torch.rand(40, 1, 4, 4))


def copies() -> ArrayData:
    data = good()
    data.inputs[30:], data.targets[30:] = data.inputs[:10], data.targets[:10]
    return data


def with_torch(source: Source) -> str:
    import torch as needed

    return f"own {source.size} {needed.tensor(1)}"


def split(**changes: list[int]) -> Callable[[], Any]:
    return altered(splits={**INDICES, **{k: torch.tensor(v) for k, v in changes.items()}})


BYTES = DataSpec((1, 4, 4), "classes", 2, mean=(127.0,), std=(70.0,))
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a fingerprint that needs torch": ({"marked": with_torch}, r"fingerprint\(\) imports torch"),
    "a fingerprint of the object": (
        {"marked": lambda s: f"{id(s)} {s.size}"},
        "a second source has another",
    ),
    "no fingerprint": ({"marked": lambda s: None}, "must be a text, got None"),
    "a fingerprint that raises": ({"marked": lambda s: 1 / 0}, "failed with ZeroDivisionError"),
    "a setting left out": ({"marked": lambda s: "own"}, "size=2 changes the data and not"),
    "a place counted": ({"marked": lambda s: f"{s.root} {s.size}"}, "only says where the data lie"),
    "numbers nobody seeded": ({"made": drawn}, "loading twice gives other inputs"),
    "test among training": ({"made": copies}, "10 of the 10 samples of split 'test'"),
    "a lock inside": ({"held": threading.Lock()}, "copying the source failed with TypeError"),
    "no data": ({"made": lambda: None}, "must return an ArrayData; what it returned lacks"),
    "another shape": (
        {"made": altered(spec=replace(SPEC, input_shape=(1, 4, 5)))},
        r"has the shape \(1, 4, 4\), the DataSpec says \(1, 4, 5\)",
    ),
    "more classes than outputs": ({"made": altered(targets=torch.arange(40) % 3)}, "lie in 0..2"),
    "a class never trained on": (
        {"made": altered(targets=torch.arange(40) // 30)},
        r"no sample of class \[1\]",
    ),
    "no test split": (
        {"made": altered(splits={k: v for k, v in INDICES.items() if k != "test"})},
        "there is no split test",
    ),
    "shared samples": ({"made": split(test=[3, 31])}, "'weights' and 'test' share 1"),
    "a sample twice": ({"made": split(test=[31, 31])}, "'test' holds a sample twice"),
    "an index too large": ({"made": split(test=[40])}, "must hold indices below 40"),
    "statistics of bytes": ({"made": altered(spec=BYTES)}, "has mean .* the DataSpec says 127"),
}


@pytest.mark.parametrize(("parts", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_faults_are_found(parts: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_data_source(
            partial(Source, **parts), changes=[{"size": 2}], moved=[{"root": "elsewhere"}]
        )


def test_the_source_of_these_faults_is_good_without_them() -> None:
    check_data_source(Source, changes=[{"size": 2}], moved=[{"root": "elsewhere"}])


def test_only_places_can_have_moved() -> None:
    with pytest.raises(AssertionError, match=r"size is not among places \('root',\)"):
        check_data_source(Source, moved=[{"size": 2}])
