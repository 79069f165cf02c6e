"""Partial channels: search on 1/k of the channels, pass the rest around, shuffle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.errors import SpaceError
from nas.searchable.mixed import MixedOp
from nas.supernet import frozen


class PartialChannels(nn.Module):
    """A module on the first ``C/k`` channels beside a bypass of the others.

    This is eq. 1 of PC-DARTS (arXiv 1907.05737) with its shuffle: output channel ``j`` comes from
    ``inner`` if ``j % k == 0`` (its channel ``j // k``), otherwise from the bypass. With stride 2
    the bypass is a 2-wide max-pooling (``ceil_mode``, so that odd sizes fit; even ones do anyway).

    Args:
        inner: keeps its number of channels, ``C // k``.
        k: one part in ``k`` is operated on.
        stride: of ``inner``, 1 or 2.
    """

    def __init__(self, inner: nn.Module, k: int, stride: int = 1) -> None:
        super().__init__()
        self.inner, self.k, self.stride = inner, k, stride

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, L) or (N, C, H, W), the spatial part divided by the stride, rounded up."""
        part = x.shape[1] // self.k
        return merged(self.inner(x[:, :part]), pooled(x[:, part:], self.stride))

    def freeze(self) -> nn.Module:
        """The same partial channels around the frozen inner module."""
        return PartialChannels(frozen(self.inner), self.k, self.stride)


def pooled(x: Tensor, stride: int) -> Tensor:
    """The bypass (N, C, ...): as it is, or 2-wide maxima where the size is halved (rounded up)."""
    if stride == 1:
        return x
    pool = nn.functional.max_pool1d if x.dim() == 3 else nn.functional.max_pool2d
    found: Tensor = pool(x, stride, ceil_mode=True)
    return found


def merged(operated: Tensor, bypass: Tensor) -> Tensor:
    """Both parts side by side, shuffled, in one copy: (N, c, ...) and (N, (k - 1) c, ...).

    Output channel ``j`` is input channel ``(j % k) * c + j // k`` of the two in this order.
    """
    n, c, *size = operated.shape
    others = bypass.reshape(n, -1, c, *size).transpose(1, 2)
    return torch.cat([operated.unsqueeze(2), others], 2).flatten(1, 2)


def apply_partial_channels(net: nn.Module, k: int) -> list[str]:
    """Put partial channels around every mixed operation in ``net`` that keeps its channels.

    Returns the names of the modules that were wrapped. Raises SpaceError if the number of channels
    is not divisible by ``k``, or if there is nothing to wrap.
    """
    if k < 2:
        raise SpaceError(f"partial channels: one part in k needs k >= 2, got {k}")
    found = _wrappable(net)
    if not found:
        raise SpaceError(
            "partial channels: no mixed operation of this space keeps its channels; "
            "set strategy.partial_channels=null"
        )
    for name, mixed in found:
        assert mixed.channels is not None
        if mixed.channels % k:
            raise SpaceError(
                f"partial channels: {mixed.channels} channels at {name!r} are not divisible by "
                f"k={k}; choose a number of channels that is (space.channels), or another "
                f"strategy.partial_channels"
            )
        parent_name, _, place = name.rpartition(".")
        parent = net.get_submodule(parent_name)
        setattr(parent, place, PartialChannels(mixed.resized(mixed.channels // k), k, mixed.stride))
    return [name for name, _ in found]


def takes_partial_channels(net: nn.Module) -> bool:
    """Whether a mixed operation in ``net`` keeps its channels, so that partial channels fit."""
    return bool(_wrappable(net))


def _wrappable(net: nn.Module) -> list[tuple[str, MixedOp]]:
    return [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, MixedOp) and module.channels is not None
    ]
