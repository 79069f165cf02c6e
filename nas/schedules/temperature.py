"""Temperature of a relaxation by epoch."""

from __future__ import annotations

from typing import Literal, Protocol

from nas.errors import ConfigError


class Heated(Protocol):
    """A relaxation with a temperature."""

    temperature: float


class Temperature:
    """Moves a relaxation's temperature from ``start`` to ``end``, linearly or by a factor.

    Raises:
        ConfigError: for a relaxation without temperature, or values that are no temperatures.
    """

    def __init__(
        self,
        relaxation: Heated,
        start: float,
        end: float,
        epochs: int,
        shape: Literal["linear", "exponential"] = "linear",
    ) -> None:
        if not hasattr(relaxation, "temperature"):
            raise ConfigError(
                f"the temperature schedule has no effect on {type(relaxation).__name__}, "
                "which has no temperature; remove it or choose another relaxation"
            )
        if start <= 0 or end <= 0 or shape not in ("linear", "exponential"):
            raise ConfigError(
                f"temperature needs start and end above 0 and shape linear or exponential, "
                f"got {start}, {end}, {shape!r}"
            )
        self.relaxation, self.start, self.end = relaxation, start, end
        self.epochs, self.shape = epochs, shape

    def on_epoch(self, epoch: int) -> None:
        """Set the temperature: ``start`` at first, ``end`` in the last of several epochs."""
        part = epoch / max(1, self.epochs - 1)
        if self.shape == "linear":
            value = self.start + (self.end - self.start) * part
        else:
            value = self.start * (self.end / self.start) ** part
        self.relaxation.temperature = value
