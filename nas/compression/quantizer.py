"""Where a tensor of a network is quantized: to fixed bits, or to those of a decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.compression.evidence import residuals
from nas.compression.grid import MIDTREAD, UNSIGNED, Grid, check_bits
from nas.decision import Decision
from nas.kernels import Kernels, Levels, Quantization, portable_kernels
from nas.supernet import Slot

FIRST_CLIP = 3.0  # root mean squares of the first batch (or of the weights) that are not clipped
SMALLEST = 1e-6


class Quantizer(nn.Module):
    """Quantizes to the bits of a decision, or to fixed ones, with a learnt clipping value.

    The clipping value starts at three root mean squares of the first tensor seen in training. As
    long as the architecture at hand lacks the decision, tensors pass as they are (the training
    before a search of bits).

    Args:
        bits: a nested decision over bit-widths, or fixed bits.
        grid: of weights; None chooses by the first tensor seen in training: unsigned if nothing in
            it is negative, else ``midtread``.
        normalized: whether tensors are first brought to mean 0 and deviation 1.

    Raises:
        SpaceError: for bits whose grids are not nested.
    """

    signed: Tensor
    calibrated: Tensor

    def __init__(
        self, bits: Decision | int, grid: Grid | None = None, normalized: bool = False
    ) -> None:
        super().__init__()
        candidates = bits.candidates if isinstance(bits, Decision) else (bits,)
        name = bits.name if isinstance(bits, Decision) else "bits"
        self.bits = check_bits(cast("tuple[int, ...]", candidates), name)
        self.slot = Slot(bits) if isinstance(bits, Decision) else None
        self.fixed_grid, self.normalized = grid, normalized
        self.clip = nn.Parameter(torch.tensor(FIRST_CLIP))
        self.register_buffer("signed", torch.tensor(True))
        self.register_buffer("calibrated", torch.tensor(False))
        self._facts: tuple[bool, bool] | None = None  # both buffers, read from the device once
        self.kernels: Kernels | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid, same shape."""
        if not self.active:
            return x
        x = self.brought(x)
        by = self.quantization(x)
        return (self.kernels or portable_kernels()).ladder(x, by.clip, by.gates, by.levels)

    @property
    def active(self) -> bool:
        """Whether the architecture at hand quantizes here."""
        return self.slot is None or self.slot.bound

    def brought(self, x: Tensor) -> Tensor:
        """``x`` at mean 0 and deviation 1, where this normalizes."""
        return (x - x.mean()) / x.std().clamp_min(SMALLEST) if self.normalized else x

    def quantization(self, x: Tensor) -> Quantization:
        """What quantizes ``x``, which has been brought; in training the first one calibrates."""
        if self.training and not self._known[1]:
            self.calibrate(x)
        return Quantization(self.scale, self._gates(x), self.levels)

    @property
    def owned(self) -> tuple[Decision, ...]:
        """The decision over its bits, unless they are fixed."""
        return () if self.slot is None else (self.slot.decision,)

    @property
    def grid(self) -> Grid:
        """Of the levels."""
        if self.fixed_grid is not None:
            return self.fixed_grid
        return MIDTREAD if self._known[0] else UNSIGNED

    @property
    def levels(self) -> Levels:
        """Of all its numbers of bits."""
        return self.grid.levels(self.bits)

    @property
    def scale(self) -> Tensor:
        """The clipping value, scalar, above 0."""
        return self.clip.abs().clamp_min(SMALLEST)

    def use(self, kernels: Kernels | None) -> None:
        """Compute by these kernels from now on, or by plain PyTorch if None."""
        self.kernels = kernels

    def repeat(self, x: Tensor) -> Callable[[], Tensor]:
        """What computes the value for ``x`` of the last call again, outside the graph."""
        kernels, levels = self.kernels or portable_kernels(), self.levels
        clip, gates = self.scale.detach(), self._gates(x).detach()
        x = self.brought(x).detach()

        def again() -> Tensor:
            with torch.no_grad():
                return kernels.ladder(x, clip, gates, levels)

        return again

    def freeze(self) -> nn.Module:
        """One of the chosen bits, with the clipping value learnt; nothing where there are none."""
        found = self.anew()
        if not self.active:
            return found
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        found.load_state_dict(state)
        return found

    def anew(self) -> nn.Module:
        """One of the chosen bits that is not calibrated yet; nothing where there are none."""
        if not self.active:
            return nn.Identity()
        bits = self.bits[0 if self.slot is None else self.slot().index]
        found = Quantizer(bits, self.fixed_grid, self.normalized)
        return found.to(self.clip.device, self.clip.dtype).train(self.training)

    def extra_repr(self) -> str:
        """Bits and grid."""
        return f"bits={self.bits}, grid={self.fixed_grid.name if self.fixed_grid else 'by data'}"

    def _gates(self, x: Tensor) -> Tensor:
        if self.slot is None:
            return torch.ones(1, dtype=torch.float32, device=x.device)
        unseen = self.slot.deferred and self.slot.used is None
        seen = residuals(x, self.scale, self.levels) if unseen else None
        weights: Weights = self.slot(seen)
        return weights.gates()[0]

    @property
    def _known(self) -> tuple[bool, bool]:
        """Whether tensors are signed, and whether the clipping value was set by data."""
        if self._facts is None:
            meta = self.signed.device.type == "meta"
            self._facts = (True, False) if meta else (bool(self.signed), bool(self.calibrated))
        return self._facts

    def _apply(self, fn: Any, recurse: bool = True) -> Quantizer:
        self._facts = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._facts = None
        super()._load_from_state_dict(*arguments)

    @property
    def waiting(self) -> bool:
        """Whether no data have set the clipping value yet."""
        return not self._known[1]

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the clipping value, and whether there is a sign, by ``x``, which has been brought."""
        if x.device.type == "meta":
            return
        self.signed.fill_(bool((x < 0).any()))
        level = x.float().square().mean().sqrt().clamp_min(SMALLEST)
        self.clip.copy_(FIRST_CLIP * level)
        self.calibrated.fill_(True)
        self._facts = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernels": None}
