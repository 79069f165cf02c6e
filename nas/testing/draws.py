"""Equal random numbers for two ways of computing one thing, in whatever order they draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class EqualDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, every random operator starts from one seed: equal shapes draw equal numbers.

    A network with noise in it can so be compared with another form of itself.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            torch.manual_seed(0)
        call: Callable[..., Any] = func
        return call(*args, **(kwargs or {}))
