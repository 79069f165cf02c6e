"""Data sets, their splits, augmentation and the streams of batches.

Names are imported on first use, so that naming a run folder (``Digits(...).fingerprint()``) does
not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.batch import Batch
    from nas.data.augment import Augment, Cutout, RandomFlip, RandomShift
    from nas.data.base import SPLITS, ArrayData, DataSource
    from nas.data.description import describe
    from nas.data.digits import Digits
    from nas.data.folder import Folder
    from nas.data.npz import Npz
    from nas.data.per_sample import PerSample
    from nas.data.sizes import Sizes
    from nas.data.split import check_record, split_record, stratified_split
    from nas.data.standard import Standard
    from nas.data.stream import Batches, evaluation, move
    from nas.data.synthetic import Synthetic
    from nas.data.wrapped import Wrapped

_HOME = {
    "ArrayData": "base",
    "Augment": "augment",
    "Batch": "stream",
    "Batches": "stream",
    "Cutout": "augment",
    "DataSource": "base",
    "Digits": "digits",
    "Folder": "folder",
    "Npz": "npz",
    "PerSample": "per_sample",
    "RandomFlip": "augment",
    "RandomShift": "augment",
    "SPLITS": "base",
    "Sizes": "sizes",
    "Standard": "standard",
    "Synthetic": "synthetic",
    "Wrapped": "wrapped",
    "check_record": "split",
    "describe": "description",
    "evaluation": "stream",
    "move": "stream",
    "split_record": "split",
    "stratified_split": "split",
}

__all__ = [
    "SPLITS",
    "ArrayData",
    "Augment",
    "Batch",
    "Batches",
    "Cutout",
    "DataSource",
    "Digits",
    "Folder",
    "Npz",
    "PerSample",
    "RandomFlip",
    "RandomShift",
    "Sizes",
    "Standard",
    "Synthetic",
    "Wrapped",
    "check_record",
    "describe",
    "evaluation",
    "move",
    "split_record",
    "stratified_split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
