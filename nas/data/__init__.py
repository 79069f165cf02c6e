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
    from nas.data.digits import Digits
    from nas.data.split import check_record, split_record, stratified_split
    from nas.data.stream import Batches, evaluation, move

_HOME = {
    "ArrayData": "base",
    "Augment": "augment",
    "Batch": "stream",
    "Batches": "stream",
    "Cutout": "augment",
    "DataSource": "base",
    "Digits": "digits",
    "RandomFlip": "augment",
    "RandomShift": "augment",
    "SPLITS": "base",
    "check_record": "split",
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
    "RandomFlip",
    "RandomShift",
    "check_record",
    "evaluation",
    "move",
    "split_record",
    "stratified_split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
