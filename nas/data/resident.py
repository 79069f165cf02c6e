"""A data set that lies where it is computed with."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from nas import console
from nas.data.base import ArrayData

SHARE = 4  # at most one part in so many of the device's free memory


def resident(data: ArrayData, device: torch.device) -> ArrayData:
    """The data with inputs and targets on ``device``; as they are where they would crowd it.

    Batches are then cut out, scaled and augmented there, and only indices travel. One sentence says
    so where the data are too large for a quarter of the memory that is free.
    """
    if device.type != "cuda":
        return data
    free = torch.cuda.mem_get_info(device)[0]
    size = stored(data)
    if size * SHARE > free:
        console.say(
            f"note    the data stay on the host: {size / 2**30:.2f} GiB are more than a quarter of "
            f"the {free / 2**30:.2f} GiB that are free on the GPU"
        )
        return data
    return placed(data, device)


def stored(data: ArrayData) -> int:
    """Bytes of inputs and targets."""
    leaves = tree_leaves((data.inputs, data.targets))
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves)


def placed(data: ArrayData, device: torch.device) -> ArrayData:
    """The data with every tensor but the indices on ``device``."""

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(device)

    inputs, targets = tree_map_only(Tensor, there, (data.inputs, data.targets))
    return replace(data, inputs=inputs, targets=targets)
