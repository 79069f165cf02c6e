from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nas.data import Wrapped
from nas.errors import NasError


class Shapes:
    """Gray pictures of two classes, as many as asked for."""

    classes = ("round", "square")

    def __init__(
        self, count: int = 40, side: int = 6, form: str = "tensor", root: str = ""
    ) -> None:
        self.count, self.side, self.form = count, side, form

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        picture = np.full((self.side, self.side, 3), index, np.uint8)
        target: Any = index % 2
        if self.form == "pil":
            return Image.fromarray(picture), target
        if self.form == "array":
            return picture, np.int64(target)
        return torch.from_numpy(picture).permute(2, 0, 1), torch.tensor(target)


@pytest.mark.parametrize("form", ["tensor", "array", "pil"])
def test_pairs_of_any_usual_type_become_arrays(form: str) -> None:
    data = Wrapped(partial(Shapes, form=form)).load()
    assert data.spec.input_shape == (3, 6, 6)
    assert data.inputs.dtype == torch.uint8
    assert data.inputs[:, 0, 0, 0].tolist() == list(range(40))
    assert data.targets.tolist() == [k % 2 for k in range(40)]
    assert data.spec.classes == ("round", "square")
    assert data.name == "Shapes"
    assert data.counts() == {"weights": 14, "architecture": 14, "validation": 4, "test": 8}


def test_every_sample_is_read_once() -> None:
    seen: list[int] = []

    class Counted(Shapes):
        def __getitem__(self, index: int) -> tuple[Any, Any]:
            seen.append(index)
            return super().__getitem__(index)

    Wrapped(Counted, samples=20).load()
    assert seen == list(range(40))


def test_labels_and_sequences_are_taken() -> None:
    class Signals:
        def __len__(self) -> int:
            return 30

        def __getitem__(self, index: int) -> tuple[Tensor, list[int]]:
            return torch.full((2, 50), float(index)), [index % 2, index % 3 == 0, 1]

    data = Wrapped(Signals, layout="NCL").load()
    assert data.spec.input_shape == (2, 50)
    assert data.spec.kind == "multi-label"
    assert data.targets[4].tolist() == [0, 0, 1]


def broken(what: str) -> type:
    class Broken(Shapes):
        def __getitem__(self, index: int) -> Any:
            value, target = super().__getitem__(index)
            if index != 3:
                return value, target
            if what == "raises":
                raise KeyError("3.png")
            return {
                "shape": (value[:, :4], target),
                "type": (value.float(), target),
                "single": value,
                "dict": {"x": value, "y": target},
                "target": (value, torch.tensor([1, 0])),
            }[what]

    return Broken


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("raises", r"Broken fails at sample 3: KeyError: '3\.png'; mend it or leave"),
        ("shape", r"input 3 is uint8 of shape \(3, 4, 6\), input 0 uint8 of \(3, 6, 6\)"),
        ("type", r"input 3 is float32 of shape"),
        ("single", r"sample 3 is a Tensor, not a pair \(input, target\); return both"),
        ("dict", "sample 3 is a dict, not a pair"),
        ("target", r"targets have the shapes \(\), \(2,\); return a class"),
    ],
)
def test_a_wrong_sample_is_named(what: str, message: str) -> None:
    with pytest.raises(NasError, match=message):
        Wrapped(broken(what)).load()


def test_what_cannot_be_wrapped_is_refused() -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(NasError, match=r"Stream has no __len__ or no __getitem__; only map-style"):
        Wrapped(Stream).load()
    with pytest.raises(NasError, match=r"Shapes is empty; check its arguments"):
        Wrapped(partial(Shapes, 0)).load()
    with pytest.raises(NasError, match=r"Shapes cannot be built: TypeError: .*unexpected key"):
        Wrapped(partial(Shapes, sides=3)).load()
    with pytest.raises(NasError, match=r"dataset must be a class with its arguments bound, got a"):
        Wrapped([1])  # type: ignore[arg-type]


def test_the_fingerprint_covers_class_settings_and_files(tmp_path: Path) -> None:
    def mark(**settings: Any) -> str:
        return Wrapped(partial(Shapes, **settings)).fingerprint()

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    base = mark()
    assert mark() == base
    assert len({base, mark(side=5), mark(count=30), Wrapped(dict).fingerprint()}) == 4
    assert Wrapped(Shapes, test=4).fingerprint() != base
    empty = mark(root=str(tmp_path / "one"))
    assert mark(root=tmp_path / "two") == empty  # the place does not count, but what is there
    (tmp_path / "one" / "x.csv").write_text("1")
    assert mark(root=str(tmp_path / "one")) != empty


def test_an_object_among_the_settings_has_no_address_in_the_fingerprint() -> None:
    marks = {Wrapped(partial(Shapes, form=object())).fingerprint() for _ in range(3)}
    assert len(marks) == 1


def test_what_was_read_is_part_of_the_recorded_fingerprint() -> None:
    class Changing(Shapes):
        offset = 0

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            value, target = super().__getitem__(index)
            return value + self.offset, target

    first = Wrapped(Changing).load().fingerprint
    assert Wrapped(Changing).load().fingerprint == first
    Changing.offset = 1
    assert Wrapped(Changing).load().fingerprint != first
