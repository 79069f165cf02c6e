from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.data.layout import layout
from nas.errors import NasError


@dataclass
class Names:
    """A tree of names only."""

    listed: Sequence[str]
    path: Path = Path("tree")

    def names(self) -> Sequence[str]:
        return sorted(self.listed)

    def place(self, name: str) -> str:
        return f"tree/{name}"


def of(*names: str):  # type: ignore[no-untyped-def]
    return layout(Names(names))  # type: ignore[arg-type]


def test_folders_are_classes_in_the_order_of_the_alphabet() -> None:
    found = of("dogs/2.png", "cats/1.jpg", "dogs/deep/3.JPEG")
    assert found.classes == ("cats", "dogs")
    assert found.names == ("cats/1.jpg", "dogs/2.png", "dogs/deep/3.JPEG")
    assert found.targets == (0, 1, 1)
    assert found.parts == (0, 0, 0)
    assert found.notes == ()


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_train_val_and_test_are_parts(val: str) -> None:
    found = of("train/a/1.png", "train/b/1.png", f"{val}/b/1.png", "test/a/1.png", "test/b/2.png")
    assert found.classes == ("a", "b")
    assert dict(zip(found.names, found.parts, strict=True)) == {
        "train/a/1.png": 0,
        "train/b/1.png": 0,
        f"{val}/b/1.png": 1,
        "test/a/1.png": 2,
        "test/b/2.png": 2,
    }


def test_folders_around_everything_are_passed_through() -> None:
    assert of("x/pets/train/a/1.png", "x/pets/train/b/1.png").classes == ("a", "b")
    found = of("pets/", "pets/cats/", "pets/cats/1.png", "pets/dogs/1.png", "readme.txt")
    assert found.classes == ("cats", "dogs")


def test_a_class_may_be_called_train() -> None:
    assert of("train/1.png", "plane/1.png").classes == ("plane", "train")


def test_other_files_are_left_out_and_counted() -> None:
    found = of("a/1.png", "b/1.png", "b/notes.txt", "b/1.xml")
    assert found.notes == ("2 files are no image by the extension and left out, e.g. b/1.xml",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "tree holds no image among 0 files"),
        (
            ["a/", "a/x.txt"],
            r"holds no image among 1 files \(\.jpg, .*count as images\); a tree of",
        ),
        (["a/1.png", "b/1.png", "c/"], "class 'c' of tree holds no image .*remove its folder"),
        (["a/1.png", "b/1.png", "c/", "c/x.txt"], "class 'c' of tree holds no image"),
        (["train/a/1.png", "train/b/", "train/b/x.txt"], "class 'b' of tree holds no image"),
        (["a/1.png", "b/1.png", "1.png"], "tree/1.png lies in no folder of a class"),
        (["1.png", "2.png"], "tree/1.png lies in no folder of a class; a tree of images has one"),
        (["a/1.png", "a/2.png"], "tree has one class only, 'a'; .*at least two classes"),
        (["train/a/1.png", "train/a/2.png"], "tree has one class only, 'a'"),
        (
            ["train/a/1.png", "train/b/1.png", "val/1.png"],
            "tree/val/1.png lies in no folder of a class",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "extra/a/1.png"],
            "tree/extra/a/1.png lies beside the folder train, in none of train, val, valid, val",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "test/images/1.png"],
            "a folder 'images' for test that train lacks .*2 classes such as 'a'",
        ),
    ],
)
def test_what_does_not_belong_is_named(names: list[str], message: str) -> None:
    with pytest.raises(NasError, match=message):
        of(*names)


def test_a_part_may_lack_a_class_that_train_has() -> None:
    assert of("train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/").classes == ("a", "b")
