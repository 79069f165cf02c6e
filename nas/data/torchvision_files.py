"""Arrays from the files of torchvision's data sets, checked before anything reads them."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity

from nas.data.assemble import Samples
from nas.data.sizes import TEST, TRAIN
from nas.errors import NasError

CLASSES: Mapping[str, Any] = {
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "svhn": datasets.SVHN,
}
FAILED = (OSError, RuntimeError, ValueError, http.client.HTTPException)
REMEDY = "remove it and fetch it again with data.download=true, or copy it anew"


def download(name: str, root: Path) -> None:
    """Fetch what is missing into ``root``; NasError if that fails, and no empty folder is left."""
    known = CLASSES[name]
    raw = root / known.__name__ / "raw"
    absent = [place for place in (raw, raw.parent, root, *root.parents) if not place.is_dir()]
    try:
        if name == "svhn":
            for split in ("train", "test"):
                known(str(root), split=split, download=True)
        else:
            known(str(root), download=True)
    except FAILED as error:
        reason = " ".join(str(error).split())[:200]
        raise NasError(
            f"{name} could not be downloaded to {root} ({reason}); check the connection and the "
            "free space, or put the files there by hand"
        ) from error
    finally:
        for place in absent:
            with suppress(OSError):  # it was not made, or holds what was fetched
                place.rmdir()


def read(name: str, root: Path) -> Samples:
    """Training and test part of a data set whose files are all in ``root``.

    Raises NasError naming the file that is not what its publisher released.
    """
    readers: Mapping[str, Callable[[Any, Path], Samples]] = {
        "cifar10": _cifar,
        "cifar100": _cifar,
        "mnist": _mnist,
        "fashion_mnist": _mnist,
        "svhn": _svhn,
    }
    return readers[name](CLASSES[name], root)


def _cifar(known: Any, root: Path) -> Samples:
    folder = root / known.base_folder
    meta = (known.meta["filename"], known.meta["md5"])
    # CIFAR comes as pickles, which can run what a file says. torchvision unpickles them, so each
    # file, the list of class names included, is compared with its published digest before.
    for name, md5 in (*known.train_list, *known.test_list, meta):
        _check_digest(folder / name, md5)
    train, test = (known(str(root), train=train) for train in (True, False))
    inputs = np.concatenate([train.data, test.data]).transpose(0, 3, 1, 2)
    targets = torch.tensor([*train.targets, *test.targets])
    return _samples(torch.from_numpy(inputs), targets, len(train.data), train.classes)


def _svhn(known: Any, root: Path) -> Samples:
    for split in ("train", "test"):
        _, name, md5 = known.split_list[split]
        _check_digest(root / name, md5)
    train, test = (known(str(root), split=split) for split in ("train", "test"))
    inputs = torch.from_numpy(np.concatenate([train.data, test.data]))
    targets = torch.from_numpy(np.concatenate([train.labels, test.labels]))
    return _samples(inputs, targets, len(train.data), tuple("0123456789"))


def _mnist(known: Any, root: Path) -> Samples:
    # Read by torchvision's functions and not by its class, which would prefer files of an older
    # version if there are any: others than those that the fingerprint covers.
    folder = root / known.__name__ / "raw"
    parts = [_idx(folder, part) for part in ("train", "t10k")]
    inputs, targets = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    names = [name.split(" - ")[0] for name in known.classes]  # "0 - zero"
    return _samples(inputs[:, None], targets, len(parts[0][0]), names)


def _idx(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    images = _parsed(folder / f"{part}-images-idx3-ubyte", read_image_file)
    labels = _parsed(folder / f"{part}-labels-idx1-ubyte", read_label_file)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or int(labels.max()) > 9:
        raise NasError(
            f"{folder}: {len(images)} images of {tuple(images.shape[1:])} and {len(labels)} labels "
            f"for {part}, where as many of 28x28 and 0..9 belong; {REMEDY}"
        )
    return images, labels


def _parsed(path: Path, reader: Callable[[str], Any]) -> Tensor:
    try:
        found: Tensor = reader(str(path))
        if len(found) == 0:
            raise ValueError("no entries")
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise NasError(f"{path} is damaged ({reason}); {REMEDY}") from error
    return found


def _check_digest(path: Path, md5: str) -> None:
    if not check_integrity(str(path), md5):
        raise NasError(
            f"{path} is damaged, its MD5 is not {md5} as published, and it is not read; {REMEDY}"
        )


def _samples(inputs: Tensor, targets: Tensor, train: int, classes: Any) -> Samples:
    parts = torch.full((len(targets),), TRAIN)
    parts[train:] = TEST
    return Samples(inputs.contiguous(), targets.long(), parts, tuple(map(str, classes)))
