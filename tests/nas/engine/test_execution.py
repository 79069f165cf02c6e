"""Which execution serves where, and what is said where none does."""

from __future__ import annotations

import pytest
import torch

from nas.engine import execution
from nas.engine.execution import check_execution, kernels_of, resolve_execution
from nas.errors import ConfigError, NasError
from nas.kernels import portable_kernels

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "native_kernels", lambda: None)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "native_kernels", portable_kernels)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("wanted", "device", "precision", "found"),
    [
        ("auto", CPU, "fp32", "native"),
        ("auto", CUDA, "fp32", "fused"),
        ("auto", CPU, "bf16", "plain"),
        ("auto", CUDA, "bf16", "plain"),
        ("native", CPU, "fp32", "native"),
        ("fused", CPU, "fp32", "fused"),
        ("plain", CPU, "fp32", "plain"),
        ("plain", CPU, "bf16", "plain"),
    ],
)
def test_what_is_taken(wanted: str, device: torch.device, precision: str, found: str) -> None:
    assert resolve_execution(wanted, device, precision) == found


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_auto_is_fused_and_native_is_refused() -> None:
    assert resolve_execution("auto", CPU, "fp32") == "fused"
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler.*execution=auto"):
        resolve_execution("native", CPU, "fp32")
    with pytest.raises(NasError, match=r"cannot be built here.*resume=force"):
        check_execution("native")
    check_execution("fused")


@pytest.mark.parametrize("wanted", ["native", "fused"])
def test_kernels_compute_in_single_precision_only(wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"execution={wanted}.*precision=bf16.*plain"):
        resolve_execution(wanted, CPU, "bf16")


def test_native_kernels_are_for_the_cpu() -> None:
    with pytest.raises(ConfigError, match="on the CPU, got device=cuda"):
        resolve_execution("native", CUDA, "fp32")


def test_plain_has_no_kernels() -> None:
    assert kernels_of("plain") is None
    assert kernels_of("fused") == portable_kernels()
