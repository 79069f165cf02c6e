"""Parts of a network that read decisions of compression, and no others."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nas.decision import Decision


@runtime_checkable
class Owner(Protocol):
    """A module with decisions that compression added."""

    @property
    def owned(self) -> tuple[Decision, ...]:
        """What it reads; empty where all is fixed."""
        ...
