import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.data import Npz
from nas.data.arrays import to_inputs, to_targets
from nas.errors import NasError

Save = Callable[..., str]
X = np.arange(40 * 4 * 4, dtype=np.uint8).reshape(40, 4, 4)
Y = np.arange(40) % 2


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(**arrays: Any) -> str:
        path = tmp_path / "toy.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


@pytest.mark.parametrize(
    "names",
    [("x", "y"), ("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels")],
)
def test_the_usual_names_are_found(names: tuple[str, str], save: Save) -> None:
    data = Npz(save(**dict(zip(names, (X, Y), strict=True)))).load()
    assert np.array_equal(data.inputs[:, 0].numpy(), X)
    assert data.targets.tolist() == Y.tolist()
    assert data.spec.input_shape == (1, 4, 4)
    assert data.spec.classes == ("0", "1")
    assert data.name == "toy"
    assert data.counts() == {"weights": 14, "architecture": 14, "validation": 4, "test": 8}


def test_the_files_own_parts_are_the_splits(save: Save) -> None:
    parts = {"x_val": X[:6] + 1, "y_val": Y[:6], "x_test": X[:8] + 2, "y_test": Y[:8][:, None]}
    data = Npz(save(x_train=X, y_train=Y, **parts, classes=["cat", "dog"], extra=[1])).load()
    assert data.counts() == {"weights": 20, "architecture": 20, "validation": 6, "test": 8}
    assert np.array_equal(data.inputs[data.indices("test"), 0].numpy(), X[:8] + 2)
    assert np.array_equal(data.inputs[data.indices("validation"), 0].numpy(), X[:6] + 1)
    assert data.spec.classes == ("cat", "dog")
    assert data.notes == ("arrays left out: extra",)


def test_sequences_with_several_labels(save: Save) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 3, 50)), generator.integers(0, 2, (40, 5))
    data = Npz(save(x=x, y=y), layout="NCL").load()
    assert data.spec.input_shape == (3, 50)
    assert data.spec.kind == "multi-label"
    assert data.spec.outputs == 5
    assert data.inputs.dtype == torch.float32
    assert np.array_equal(data.targets.numpy(), y)
    training = torch.cat([data.indices("weights"), data.indices("architecture")])
    mean = x.astype(np.float32)[training.numpy()].mean((0, 2), dtype=float)
    assert data.spec.mean == pytest.approx(mean.tolist(), abs=1e-6)


def test_rows_with_a_single_label_each_are_pointed_out(save: Save) -> None:
    data = Npz(save(x=X, y=np.eye(2)[Y])).load()
    assert data.spec.kind == "multi-label"
    assert "every row of labels holds a single 1" in data.notes[0]


@pytest.mark.parametrize(
    ("shape", "layout", "wanted"),
    [
        ((2, 9), "auto", (2, 1, 9)),
        ((2, 8, 8), "auto", (2, 1, 8, 8)),
        ((2, 8, 9, 3), "auto", (2, 3, 8, 9)),
        ((2, 1, 8, 9), "auto", (2, 1, 8, 9)),
        ((2, 8, 8, 4), "auto", (2, 4, 8, 8)),
        ((2, 8, 9), "NHW", (2, 1, 8, 9)),
        ((2, 8, 9), "NCL", (2, 8, 9)),
        ((2, 8, 9), "NLC", (2, 9, 8)),
        ((2, 3, 8, 3), "NCHW", (2, 3, 8, 3)),
        ((2, 3, 8, 3), "NHWC", (2, 3, 3, 8)),
    ],
)
def test_layouts(shape: tuple[int, ...], layout: str, wanted: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = to_inputs(array, layout, "x")
    assert tuple(found.shape) == wanted
    channels_last = layout in ("NHWC", "NLC") or (layout == "auto" and wanted[1:] != shape[1:])
    if len(shape) == 4 and channels_last:
        assert found[1, 2, 0, 1] == array[1, 0, 1, 2]
    elif layout == "NLC":
        assert found[1, 2, 0] == array[1, 0, 2]
    else:
        assert np.array_equal(found.numpy().ravel(), array.ravel())


@pytest.mark.parametrize("shape", [(2, 8, 9), (2, 3, 8, 3), (2, 5, 6, 7), (2,), (2, 1, 1, 1, 1)])
def test_what_can_be_read_in_several_ways_is_asked(shape: tuple[int, ...]) -> None:
    with pytest.raises(NasError, match=r"x has the shape .*in several ways; set data\.layout"):
        to_inputs(np.zeros(shape, np.uint8), "auto", "x")


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.array([[0, 255]]), torch.uint8),
        (np.array([[True, False]]), torch.uint8),
        (np.array([[0.5]], np.float16), torch.float32),
        (np.array([[0.5]], np.float64), torch.float32),
        (np.array([[0.5]], ">f4"), torch.float32),
    ],
)
def test_values_keep_their_meaning(array: np.ndarray, wanted: torch.dtype) -> None:
    found = to_inputs(array, "auto", "x")
    assert found.dtype == wanted
    assert found[0, 0].tolist() == array[0].tolist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0], [np.nan]]), "x holds a value that is NaN or infinite in sample 1"),
        (np.array([[1e300]]), r"NaN or infinite in sample 0 \(1 such samples\)"),
        (np.array([[0, 256]]), "x holds whole numbers 0..256; only 0..255"),
        (np.array([[-1, 5]]), "x holds whole numbers -1..5"),
        (np.array([["a"]]), "x is of type <U1; inputs are uint8 in 0..255, or floating-point"),
        (np.zeros((0, 3)), r"x is empty, its shape is \(0, 3\)"),
    ],
)
def test_values_that_cannot_be_used_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(NasError, match=message):
        to_inputs(array, "auto", "x")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0.5, 1.0]), "y holds numbers that are not whole"),
        (np.array([np.nan]), "y holds numbers that are not whole"),
        (np.array([[0, 2]]), "y has the shape .* and other values than 0 and 1"),
        (np.array([[0.0, np.nan]]), "other values than 0 and 1"),
        (np.zeros((2, 2, 2), int), r"y has the shape \(2, 2, 2\)"),
        (np.array(["a", "b"]), "y has the shape .* and the type <U1"),
        (np.array([2**40]), "y holds the class"),
        (np.zeros(0, int), "y is empty"),
    ],
)
def test_targets_that_cannot_be_used_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(NasError, match=message):
        to_targets(array, "y")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": X, "b": Y},
            r"toy\.npz holds the arrays a, b, where .* are called x_train, y_train",
        ),
        ({"x": X}, r"toy\.npz holds x but no y; store both"),
        ({"x_train": X, "y_train": Y, "x_val": X}, "holds x_val but no y_val; store both"),
        ({"x_test": X, "y_test": Y}, "holds x_test, y_test but no x_train and y_train"),
        ({"x": X, "y": Y[:7]}, "x has 40 samples and y has 7; store one target per input"),
        ({"x": X, "y": Y + 1}, r"y in .*toy\.npz has no sample of 1 of 3 classes: 0; number"),
        ({"x": X, "y": Y * 2}, "has no sample of 1 of 3 classes: 1"),
        ({"x": X, "y": Y - 1}, r"y in .* holds classes -1\.\.0, but 1 classes are numbered"),
        ({"x": X, "y": Y, "classes": ["a"]}, r"holds classes 0\.\.1, but 1 classes are numbered 0"),
        ({"x": X, "y": Y, "classes": ["a", "b", "c"]}, "has no sample of 1 of 3 classes: c"),
        ({"x": X, "y": Y, "classes": [1, 2]}, "classes must hold one text per class"),
        ({"x": X, "y": Y * 0}, "y in .* has one class only"),
        (
            {"x": X, "y": np.ones((40, 2), int), "classes": ["a", "b", "c"]},
            "has 2 labels but there are 3 names for them",
        ),
        ({"x": X, "y": np.array([None] * 40)}, r"y in .* holds Python objects, which are not load"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3, :3], "y_test": Y},
            r"x_test holds torch.uint8 of shape \(1, 3, 3\) and x_train torch.uint8 of \(1, 4, 4\)",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            "y_test holds other classes or labels than y_train",
        ),
    ],
)
def test_wrong_arrays_are_named_with_their_file(
    arrays: dict[str, Any], message: str, save: Save
) -> None:
    with pytest.raises(NasError, match=message):
        Npz(save(**arrays)).load()


def damaged(kind: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=X, y=Y)
    whole = buffer.getvalue()
    single = io.BytesIO()
    np.save(single, X)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("x.npy", b"no array")
        archive.writestr("y.npy", b"no array")
    return {
        "empty": b"",
        "text": b"text",
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
        "single": single.getvalue(),
        "other": other.getvalue(),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "flipped", "single", "other"])
def test_a_damaged_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    path.write_bytes(damaged(kind))
    wanted = "single array without a name" if kind == "single" else r"damaged or no \.npz file"
    with pytest.raises(NasError, match=rf"toy\.npz.* {wanted}.*numpy\.savez"):
        Npz(str(path)).load()


def test_nothing_in_a_file_is_ever_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "pwned",))

    path = tmp_path / "toy.npz"
    np.savez(path, x=np.array([Evil()], dtype=object), y=Y)
    with pytest.raises(NasError, match="holds Python objects"):
        Npz(str(path)).load()
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"there is no file .*gone\.npz; set data\.file"):
        Npz(str(tmp_path / "gone.npz")).fingerprint()


def test_an_unknown_layout_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"layout must be one of auto.*'NCWH'; did you mean 'NCHW'"):
        Npz("x.npz", layout="NCWH")


def test_samples_are_cut_and_the_fingerprint_covers_it(save: Save) -> None:
    file = save(x=X, y=Y)
    data = Npz(file, samples=20).load()
    assert len(data) == 20
    assert data.targets.bincount().tolist() == [10, 10]
    assert data.fingerprint == Npz(file, samples=20).fingerprint() != Npz(file).fingerprint()
