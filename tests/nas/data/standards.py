"""Small data sets in the formats that torchvision reads, with published digests to match."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from tests.nas.data.made import md5


def write_cifar(
    root: Path, name: str, images: np.ndarray, train: int, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """CIFAR10 or CIFAR100 of ``(N, 3072)`` images, the first ``train`` of them for training."""
    known = getattr(datasets, name)
    key, classes = ("labels", 10) if name == "CIFAR10" else ("fine_labels", 100)
    folder = root / known.base_folder
    folder.mkdir(parents=True)
    batches = [file for file, _ in known.train_list]
    pieces = [*np.split(images[:train], len(batches)), images[train:]]
    for file, piece in zip([*batches, known.test_list[0][0]], pieces, strict=True):
        entry = {"data": piece, key: (np.arange(len(piece)) % classes).tolist()}
        (folder / file).write_bytes(pickle.dumps(entry))
    words = {known.meta["key"]: [f"class{k}" for k in range(classes)]}
    (folder / known.meta["filename"]).write_bytes(pickle.dumps(words))
    for listed in ("train_list", "test_list"):
        names = [file for file, _ in getattr(known, listed)]
        monkeypatch.setattr(known, listed, [[file, md5(folder / file)] for file in names])
    meta = {**known.meta, "md5": md5(folder / known.meta["filename"])}
    monkeypatch.setattr(known, "meta", meta)
    return root


def write_mnist(root: Path, name: str, images: np.ndarray, train: int) -> Path:
    """MNIST or FashionMNIST of ``(N, 28, 28)`` images."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for part, chosen in (("train", images[:train]), ("t10k", images[train:])):
        header = struct.pack(">4i", 2051, len(chosen), 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + chosen.tobytes())
        labels = (np.arange(len(chosen)) % 10).astype(np.uint8)
        header = struct.pack(">2i", 2049, len(labels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return root


def write_svhn(root: Path, images: np.ndarray, train: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SVHN of ``(32, 32, 3, N)`` images; the digit 0 is stored as 10."""
    root.mkdir(parents=True)
    splits = dict(datasets.SVHN.split_list)
    for split, part in (("train", images[..., :train]), ("test", images[..., train:])):
        labels = np.arange(part.shape[-1]) % 10
        file = root / f"{split}_32x32.mat"
        scipy.io.savemat(file, {"X": part, "y": np.where(labels == 0, 10, labels)[:, None]})
        url, name, _ = splits[split]
        splits[split] = [url, name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)
    return root
