"""The sources on real images, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.data import Folder, Npz, Standard

pytestmark = pytest.mark.data
SUBSET, FULL = "images/cifar10_jpg_subset_6000.tar.xz", "images/cifar10_jpg_train.tar.xz"
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_cifar_is_read_from_the_archive_in_the_data_folder(data_dir: Path) -> None:
    data = Standard("cifar10", str(data_dir), archives=[SUBSET], samples=1000).load()
    assert data.spec.classes == tuple(NAMES)
    assert data.spec.input_shape == (3, 32, 32)
    assert data.targets.bincount().tolist() == [100] * 10
    assert data.counts() == {"weights": 350, "architecture": 350, "validation": 100, "test": 200}
    for split, size in data.counts().items():
        assert data.targets[data.indices(split)].bincount().tolist() == [size // 10] * 10
    assert data.spec.mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=0.02)
    assert data.spec.std == pytest.approx((0.2452, 0.2428, 0.2606), abs=0.02)


@pytest.mark.slow
def test_all_of_cifar_has_its_known_mean_and_deviation(data_dir: Path) -> None:
    data = Standard("cifar10", str(data_dir), archives=[FULL]).load()
    assert data.targets.bincount().tolist() == [5000] * 10
    values = data.inputs.transpose(0, 1).flatten(1).double() / 255
    assert values.mean(1).tolist() == pytest.approx((0.4913, 0.4821, 0.4465), abs=1e-4)
    assert values.std(1).tolist() == pytest.approx((0.2452, 0.2428, 0.2606), abs=1e-4)


def test_tiny_imagenet_is_read_as_a_folder_of_ones_own(data_dir: Path) -> None:
    archive = data_dir / "images" / "tiny_imagenet32_20cls_train.tar.xz"
    data = Folder(str(archive), samples=400, size=16).load()
    assert data.spec.input_shape == (3, 16, 16)
    assert data.spec.outputs == 20
    assert data.targets.bincount().tolist() == [20] * 20


def test_fashion_mnist_arrays_have_their_known_mean_and_deviation(data_dir: Path) -> None:
    data = Npz(str(data_dir / "images" / "fashion_mnist_subset_7000.npz")).load()
    assert data.counts()["validation"] == 1000
    training = torch.cat([data.indices("weights"), data.indices("architecture")])
    assert data.spec.mean == pytest.approx((0.2860,), abs=0.005)
    assert data.spec.std == pytest.approx((0.3530,), abs=0.005)
    assert len(training) == 4800


def test_mnist_arrays_in_one_piece_are_divided(data_dir: Path) -> None:
    data = Npz(str(data_dir / "images" / "mnist_t10k_first8000.npz"), samples=2000).load()
    assert data.counts() == {"weights": 700, "architecture": 700, "validation": 200, "test": 400}
    assert data.spec.input_shape == (1, 28, 28)
