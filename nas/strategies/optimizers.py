"""Optimizers whose steps may be captured, and their state across devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

CAPTURABLE = "capturable"


def obstacle_of(optimizers: Iterable[torch.optim.Optimizer]) -> str | None:
    """Why steps of these optimizers cannot be captured as a CUDA graph; None if they can.

    Those that count steps know a setting ``capturable``; SGD counts none.
    """
    for optimizer in optimizers:
        if type(optimizer) is torch.optim.SGD:
            continue
        if not all(CAPTURABLE in group for group in optimizer.param_groups):
            return f"{type(optimizer).__name__} keeps a part of its state on the host"
    return None


def make_capturable(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer count its steps on the device from now on."""
    for group in optimizer.param_groups:
        if CAPTURABLE in group and not group[CAPTURABLE]:
            group[CAPTURABLE] = True
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if isinstance(state.get("step"), Tensor):
                    state["step"] = state["step"].to(parameter.device)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Restore a ``state_dict``; whether it is capturable stays as it is in this process."""
    groups = [
        {**saved, CAPTURABLE: own[CAPTURABLE]} if CAPTURABLE in own else saved
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=False)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
