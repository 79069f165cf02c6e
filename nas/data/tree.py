"""Samples from a tree of image files, decoded once and then read from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nas.data.assemble import Samples
from nas.data.cache import arrays
from nas.data.container import container
from nas.data.digest import record_digest
from nas.data.form import Form
from nas.data.images import decoded
from nas.data.layout import layout
from nas.data.sizes import Sizes

VERSION = "tree/1"
"""Part of the cache's keys; changes with anything that changes the arrays."""
NAMES = ("inputs", "targets", "parts", "classes", "notes")


def read_tree(path: Path, form: Form, sizes: Sizes) -> Samples:
    """The images of a folder or archive, cut down to ``sizes.samples`` before they are decoded.

    Raises NasError naming the file that is damaged, misplaced or of another size.
    """
    tree = container(path)
    record = {
        "version": VERSION,
        "content": tree.digest(),
        "channels": form.channels,
        "size": form.size,
        # which images are decoded at all
        "samples": sizes.samples,
        "split_seed": None if sizes.samples is None else sizes.split_seed,
    }

    def make() -> dict[str, np.ndarray]:
        found = layout(tree)
        targets, parts = torch.tensor(found.targets), torch.tensor(found.parts)
        kept = sizes.keep(targets, parts)
        names = [found.names[index] for index in kept.tolist()]
        return {
            "inputs": decoded(tree, names, form).numpy(),
            "targets": targets[kept].numpy(),
            "parts": parts[kept].numpy(),
            "classes": np.array(found.classes),
            "notes": np.array(found.notes, dtype=str),
        }

    stored = arrays(record_digest(record), NAMES, make)
    inputs, targets, parts = (torch.from_numpy(stored[name]) for name in NAMES[:3])
    classes, notes = (tuple(map(str, stored[name])) for name in NAMES[3:])
    return Samples(inputs, targets, parts, classes, notes)
