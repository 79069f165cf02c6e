"""The one way from the host to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on ``device``, itself if it lies there already.

    To a GPU it goes from pinned memory, so that the host does not wait for what the GPU still has
    to do; the way back may not, since a reader on the host would not wait for it.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
