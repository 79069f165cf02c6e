"""How a supernet's mixed operations are computed: plain, fused, or fused by native kernels."""

from __future__ import annotations

import torch

from nas.errors import ConfigError, NasError
from nas.kernels import Kernels, native_kernels, portable_kernels

NATIVE, FUSED, PLAIN = "native", "fused", "plain"


def resolve_execution(wanted: str, device: torch.device, precision: str) -> str:
    """``native``, ``fused`` or ``plain`` for a setting that may also be ``auto``.

    ``auto`` takes native kernels on the CPU where they can be built, else fused PyTorch; plain
    modules for bf16, whose types autocast chooses.

    Raises:
        ConfigError: for an execution that cannot serve, with the reason.
    """
    if precision != "fp32":
        if wanted in (NATIVE, FUSED):
            raise ConfigError(
                f"execution={wanted} computes in fp32, got precision={precision}; use "
                "execution=auto or execution=plain"
            )
        return PLAIN
    if wanted == "auto":
        return NATIVE if device.type == "cpu" and native_kernels() is not None else FUSED
    if wanted == NATIVE and device.type != "cpu":
        raise ConfigError(
            f"execution=native computes on the CPU, got device={device.type}; use execution=auto "
            "or execution=fused"
        )
    if wanted == NATIVE and native_kernels() is None:
        raise ConfigError(
            "execution=native needs a C++ compiler (g++, clang++ or what CXX names) that builds "
            "the kernels; use execution=auto or execution=fused"
        )
    return wanted


def check_execution(recorded: str) -> None:
    """Raise NasError if a search that was begun with ``recorded`` cannot go on with it here."""
    if recorded == NATIVE and native_kernels() is None:
        raise NasError(
            "this search was begun with native kernels, which cannot be built here; install a C++ "
            "compiler, or go on with fused PyTorch, equal to rounding, by resume=force"
        )


def kernels_of(execution: str) -> Kernels | None:
    """The kernels of a resolved execution; None for plain."""
    if execution == PLAIN:
        return None
    return native_kernels() if execution == NATIVE else portable_kernels()
