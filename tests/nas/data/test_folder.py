from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas.data.tree as tree_module
from nas.data import Folder
from nas.data.base import ArrayData
from nas.errors import NasError
from tests.nas.data.made import MakeTree, encoded, pixels, tarred


def same(one: ArrayData, other: ArrayData) -> bool:
    return (
        torch.equal(one.inputs, other.inputs)
        and torch.equal(one.targets, other.targets)
        and one.spec == other.spec
        and all(torch.equal(one.splits[name], other.splits[name]) for name in one.splits)
    )


def test_a_tree_becomes_images_classes_and_splits(two_classes: Path) -> None:
    data = Folder(str(two_classes)).load()
    wanted = np.stack([pixels(k) for k in range(40)]).transpose(0, 3, 1, 2)
    assert np.array_equal(data.inputs.numpy(), wanted)
    assert data.targets.tolist() == [0] * 20 + [1] * 20
    assert data.spec.classes == ("cats", "dogs")
    assert data.spec.input_shape == (3, 8, 8)
    assert data.spec.kind == "classes"
    assert data.counts() == {"weights": 14, "architecture": 14, "validation": 4, "test": 8}
    assert data.name == "tree"
    assert data.notes == ("no official test split: test is 8 of the 40 samples, held back",)


def test_mean_and_std_see_the_training_part_alone(two_classes: Path) -> None:
    data = Folder(str(two_classes)).load()
    training = torch.cat([data.indices("weights"), data.indices("architecture")])
    values = data.inputs[training].double().transpose(0, 1).flatten(1) / 255
    assert data.spec.mean == pytest.approx(values.mean(1).tolist(), abs=1e-6)
    assert data.spec.std == pytest.approx(values.std(1, correction=0).tolist(), abs=1e-6)


@pytest.mark.parametrize("top", ["", "pets"])
def test_an_archive_of_a_tree_is_the_tree(top: str, two_classes: Path, tmp_path: Path) -> None:
    archive = tarred(two_classes, tmp_path / "pets.tar.xz", top)
    data = Folder(str(archive)).load()
    assert same(data, Folder(str(two_classes)).load())
    assert data.name == "pets"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pets.tar.xz", "tree"]


def test_parts_of_the_tree_are_the_splits(make_tree: MakeTree) -> None:
    counts = {"train/a": 10, "train/b": 10, "val/a": 2, "val/b": 3, "test/a": 4, "test/b": 4}
    data = Folder(str(make_tree(counts))).load()
    assert data.counts() == {"weights": 10, "architecture": 10, "validation": 5, "test": 8}
    assert data.targets[data.indices("validation")].bincount().tolist() == [2, 3]
    assert data.notes == ()


def test_size_and_channels_bring_images_to_one_form(two_classes: Path) -> None:
    (two_classes / "cats" / "000.png").write_bytes(encoded(pixels(0, 20)[:, :13]))
    data = Folder(str(two_classes), size=5, channels=1).load()
    assert data.spec.input_shape == (1, 5, 5)
    assert len(data.spec.mean) == 1


def test_samples_are_chosen_before_anything_is_decoded(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = tree_module.decoded

    def counted(tree: Any, names: Any, form: Any) -> Any:
        asked.append(len(names))
        return real(tree, names, form)

    monkeypatch.setattr(tree_module, "decoded", counted)
    data = Folder(str(two_classes), samples=24).load()
    assert asked == [24]
    assert data.targets.bincount().tolist() == [12, 12]
    whole = np.stack([pixels(k) for k in range(40)]).transpose(0, 3, 1, 2)
    kept = [int((whole == x).all((1, 2, 3)).argmax()) for x in data.inputs.numpy()]
    assert kept == sorted(set(kept))
    assert [k >= 20 for k in kept] == data.targets.bool().tolist()


def test_a_second_run_decodes_nothing(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Folder(str(two_classes)).load()

    def refuse(*args: Any) -> Any:
        raise AssertionError("decoded again")

    monkeypatch.setattr(tree_module, "decoded", refuse)
    assert same(first, Folder(str(two_classes)).load())
    other = Folder(str(two_classes), test=4, split_seed=3).load()  # splits need no other pixels
    assert torch.equal(other.inputs, first.inputs)
    with pytest.raises(AssertionError, match="decoded again"):
        Folder(str(two_classes), size=4).load()


def test_a_changed_image_is_seen(two_classes: Path) -> None:
    before = Folder(str(two_classes))
    mark, data = before.fingerprint(), before.load()
    (two_classes / "dogs" / "005.png").write_bytes(encoded(pixels(99)))
    after = Folder(str(two_classes))
    assert after.fingerprint() != mark
    assert not torch.equal(after.load().inputs, data.inputs)


def test_the_fingerprint_covers_contents_and_settings_but_not_the_place(
    two_classes: Path, make_tree: MakeTree
) -> None:
    base = Folder(str(two_classes))
    assert (
        Folder(str(make_tree({"cats": 20, "dogs": 20}, "moved"))).fingerprint()
        == base.fingerprint()
    )
    assert base.load().fingerprint == base.fingerprint()
    changed = [
        Folder(str(two_classes), **settings).fingerprint()
        for settings in (
            {"size": 4},
            {"channels": 1},
            {"test": 4},
            {"validation": 4},
            {"architecture": 0.25},
            {"split_seed": 1},
            {"samples": 30},
        )
    ]
    assert len({base.fingerprint(), *changed}) == 8


def test_the_home_folder_may_be_written_as_a_tilde(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(two_classes.parent))
    assert len(Folder("~/tree").load()) == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be"),
        ({"channels": 4}, "channels must be"),
        ({"test": 0}, "test must be"),
        ({"samples": -1}, "samples must be"),
    ],
)
def test_wrong_arguments_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Folder("/nowhere", **settings)


def test_a_missing_folder_is_named_without_loading(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"no folder or archive of images at .*gone; set data\.root"):
        Folder(str(tmp_path / "gone")).fingerprint()


def test_a_corrupt_image_in_an_archive_is_named_and_nothing_is_cached(
    two_classes: Path, tmp_path: Path, own_cache: Path
) -> None:
    (two_classes / "dogs" / "004.png").write_bytes(b"not an image")
    archive = tarred(two_classes, tmp_path / "pets.tar.gz", mode="w:gz")
    with pytest.raises(NasError, match=r"dogs/004\.png in .*pets\.tar\.gz cannot be read as an im"):
        Folder(str(archive)).load()
    assert not list(own_cache.rglob("*.npz"))


def test_a_class_with_too_few_images_is_named(make_tree: MakeTree) -> None:
    root = make_tree({"cats": 20, "dogs": 3})
    with pytest.raises(NasError, match="class 'dogs' has 3 training samples, too few for the 4"):
        Folder(str(root)).load()
