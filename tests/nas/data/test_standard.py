import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

import nas.data.torchvision_files as files_module
from nas.data import Standard
from nas.errors import NasError
from tests.nas.data.made import encoded, pixels, tarred
from tests.nas.data.standards import write_cifar, write_mnist, write_svhn

rng = np.random.default_rng(0)
CIFAR = rng.integers(0, 256, (50 + 20, 3 * 32 * 32), dtype=np.uint8)
GRAY = rng.integers(0, 256, (40 + 20, 28, 28), dtype=np.uint8)
COLOR = rng.integers(0, 256, (32, 32, 3, 40 + 20), dtype=np.uint8)


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small CIFAR-10 in the format of the real one, with digests to match."""
    return write_cifar(tmp_path / "data", "CIFAR10", CIFAR, 50, monkeypatch)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    return write_mnist(tmp_path / "data", "MNIST", GRAY, 40)


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_svhn(tmp_path / "data", COLOR, 40, monkeypatch)


def test_cifar_comes_with_its_test_part_and_names(cifar: Path) -> None:
    data = Standard("cifar10", str(cifar), validation=10, architecture=10).load()
    assert data.counts() == {"weights": 30, "architecture": 10, "validation": 10, "test": 20}
    assert np.array_equal(data.inputs.numpy(), CIFAR.reshape(-1, 3, 32, 32))
    assert data.indices("test").tolist() == list(range(50, 70))
    assert data.targets[50:].tolist() == [k % 10 for k in range(20)]
    assert data.spec.classes == tuple(f"class{k}" for k in range(10))
    assert data.notes == ()
    assert data.name == "cifar10"


def test_mnist_comes_in_gray(mnist: Path) -> None:
    data = Standard("mnist", str(mnist)).load()
    assert np.array_equal(data.inputs[:, 0].numpy(), GRAY)
    assert data.spec.input_shape == (1, 28, 28)
    assert data.spec.classes == tuple("0123456789")
    assert data.indices("test").tolist() == list(range(40, 60))


def test_svhn_calls_the_digit_ten_zero(svhn: Path) -> None:
    data = Standard("svhn", str(svhn)).load()
    assert np.array_equal(data.inputs.numpy(), COLOR.transpose(3, 2, 0, 1))
    assert data.targets.tolist() == [k % 10 for k in range(40)] + [k % 10 for k in range(20)]


def test_samples_cut_the_training_part_and_the_test_part_in_proportion(mnist: Path) -> None:
    data = Standard("mnist", str(mnist), samples=30, validation=4).load()
    assert sum(data.counts()[name] for name in ("weights", "architecture", "validation")) == 30
    assert data.counts()["test"] == 15


class Evil:
    """A pickle that leaves a file behind where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_foreign_pickle_is_refused_before_it_is_loaded(
    name: str, cifar: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "pwned"
    (cifar / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Evil(mark)))
    message = rf"cifar-10-batches-py/{name} is damaged, its MD5 is not [0-9a-f]{{32}} as published"
    with pytest.raises(NasError, match=message):
        Standard("cifar10", str(cifar)).load()
    assert not mark.exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_damaged_files_are_named(mnist: Path) -> None:
    images = mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    whole = images.read_bytes()
    for content in (whole[:-30], b"", b"text", whole[:16] + bytes(5)):
        images.write_bytes(content)
        with pytest.raises(NasError, match=r"t10k-images-idx3-ubyte is damaged \(.*remove it"):
            Standard("mnist", str(mnist)).load()
    images.write_bytes(struct.pack(">4i", 2051, 19, 28, 28) + GRAY[:19].tobytes())
    with pytest.raises(NasError, match=r"MNIST/raw: 19 images of \(28, 28\) and 20 labels"):
        Standard("mnist", str(mnist)).load()


def test_a_damaged_mat_file_is_named(svhn: Path) -> None:
    cut(svhn / "test_32x32.mat")
    with pytest.raises(NasError, match=r"test_32x32\.mat is damaged, its MD5"):
        Standard("svhn", str(svhn)).load()


@pytest.mark.parametrize("call", [Standard.fingerprint, Standard.load])
def test_absent_data_name_files_folder_and_remedy(
    call: Callable[[Standard], Any], tmp_path: Path
) -> None:
    source = Standard("cifar10", str(tmp_path), archives=["images/c10.tar.xz"])
    with pytest.raises(NasError) as caught:
        call(source)
    said = str(caught.value)
    assert f"cifar10 is not in {tmp_path}: there is no cifar-10-batches-py/data_batch_1" in said
    assert "batches.meta, and no images/c10.tar.xz; " in said
    assert "data.root=FOLDER or NAS_DATA_DIR=FOLDER" in said
    assert "data.download=true" in said


def test_incomplete_data_name_what_is_missing(cifar: Path) -> None:
    (cifar / "cifar-10-batches-py" / "test_batch").unlink()
    message = "cifar10 is not complete in .*: cifar-10-batches-py/test_batch is missing; set data"
    with pytest.raises(NasError, match=message):
        Standard("cifar10", str(cifar)).load()


def test_an_archive_of_images_stands_in_and_says_so(tmp_path: Path) -> None:
    tree = tmp_path / "tree" / "train"
    for label in "ab":
        (tree / label).mkdir(parents=True)
        for k in range(20):
            (tree / label / f"{k}.png").write_bytes(encoded(pixels(k, 32)))
    (tmp_path / "images").mkdir()
    tarred(tree.parent, tmp_path / "images" / "two.tar.xz")
    archives = ["images/one.tar.xz", "images/two.tar.xz"]
    data = Standard("cifar10", str(tmp_path), archives=archives).load()
    assert data.name == "cifar10"
    assert data.counts() == {"weights": 14, "architecture": 14, "validation": 4, "test": 8}
    assert data.notes == (
        "JPEG images of images/two.tar.xz, not the original files",
        "no official test split: test is 8 of the 40 samples, held back",
    )


def test_torchvisions_files_come_before_an_archive(cifar: Path) -> None:
    (cifar / "one.tar").write_bytes(b"never read")
    assert Standard("cifar10", str(cifar), archives=["one.tar"], validation=10).load().notes == ()


def test_nothing_is_downloaded_unasked_and_a_failure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(url: str, *args: Any, **settings: Any) -> None:
        asked.append(url)
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.urllib.request.urlopen", refuse)
    for name in ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"):
        with pytest.raises(NasError, match="is not in"):
            Standard(name, str(tmp_path)).load()
    assert asked == []
    for name in ("cifar10", "mnist", "svhn"):
        with pytest.raises(NasError, match=rf"{name} could not be downloaded .*no route to host"):
            Standard(name, str(tmp_path / "new" / "data"), download=True).load()
        assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    (tmp_path / "mine").mkdir()
    with pytest.raises(NasError, match="could not be downloaded"):
        Standard("mnist", str(tmp_path / "mine"), download=True).load()
    assert list((tmp_path / "mine").iterdir()) == []
    assert len(asked) >= 3


def test_a_download_that_works_is_read(
    cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new"

    def fetch(name: str, where: Path) -> None:
        (cifar / "cifar-10-batches-py").rename(where.joinpath("cifar-10-batches-py"))

    root.mkdir()
    monkeypatch.setattr(files_module, "download", fetch)
    source = Standard("cifar10", str(root), download=True, validation=10)
    assert source.fingerprint() == source.load().fingerprint
    again = Standard("cifar10", str(root), validation=10)
    assert again.fingerprint() == source.fingerprint()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(NasError, match=r"dataset must be one of cifar10, .*'cifra10'; did you"):
        Standard("cifra10", ".")
    with pytest.raises(NasError, match="download must be true or false"):
        Standard("cifar10", ".", download="yes")  # type: ignore[arg-type]


def test_torchvision_still_calls_its_files_as_we_do() -> None:
    from nas.data.standard import FILES

    for name in ("cifar10", "cifar100"):
        known = files_module.CLASSES[name]
        names = [*(n for n, _ in (*known.train_list, *known.test_list)), known.meta["filename"]]
        assert sorted(FILES[name]) == sorted(f"{known.base_folder}/{n}" for n in names)
    for name in ("mnist", "fashion_mnist"):
        known = files_module.CLASSES[name]
        names = [Path(resource).stem for resource, _ in known.resources]
        assert sorted(FILES[name]) == sorted(f"{known.__name__}/raw/{n}" for n in names)
    listed = datasets.SVHN.split_list
    assert sorted(FILES["svhn"]) == sorted(listed[split][1] for split in ("train", "test"))
