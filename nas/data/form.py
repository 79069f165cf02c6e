"""What every image of a data set is brought to; checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import NasError

MODES = {1: "L", 3: "RGB"}
"""Pillow's names for numbers of channels."""


@dataclass(frozen=True)
class Form:
    """Channels and size.

    Args:
        channels: 3 for color, 1 for gray.
        size: side in pixels; the shorter side is resized to it, the longer one cropped about the
            center. None keeps images as they are, which must then be of one size.

    Raises:
        NasError: if an argument is not allowed.
    """

    channels: int = 3
    size: int | None = None

    def __post_init__(self) -> None:
        if self.channels not in MODES or isinstance(self.channels, bool):
            raise NasError(
                f"channels must be 3 (color) or 1 (gray), got {self.channels!r}; set data.channels"
            )
        size = self.size
        whole = isinstance(size, int) and not isinstance(size, bool)
        if size is not None and not (whole and 1 <= size <= 4096):
            raise NasError(
                f"size must be a whole number of pixels from 1 to 4096, or null to keep images as "
                f"they are, got {size!r}; set data.size, e.g. data.size=32"
            )
