"""Data that lie on the device: the same batches, and only small things travel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nas.data import augment, base, resident, stream
from nas.data.augment import Augment
from nas.data.base import ArrayData
from nas.data.stream import Batches, evaluation
from nas.dataspec import DataSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SPEC = DataSpec((2, 6, 6), "classes", 10, mean=(0.4, 0.5), std=(0.2, 0.3))
N, BATCH = 50, 5


def data() -> ArrayData:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (N, *SPEC.input_shape), dtype=torch.uint8, generator=generator)
    return ArrayData(SPEC, inputs, torch.arange(N) % 10, {}, fingerprint="0", name="toy")


def batches(given: ArrayData, **settings: Any) -> Batches:
    parts = Augment(shift=2, flip=True, cutout=2)
    where = torch.arange(N)
    return Batches(
        given, where, batch_size=BATCH, seed=0, name="weights", augment=parts, **settings
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What is sent to a device from now on."""
    found: list[Tensor] = []

    def send(tensor: Tensor, device: torch.device) -> Tensor:
        found.append(tensor)
        return tensor.to(device)

    for module in (augment, base, stream):
        monkeypatch.setattr(module, "sent", send)
    return found


def test_of_resident_data_only_what_was_drawn_travels(sent: list[Tensor]) -> None:
    given = resident.placed(data(), CPU)
    batch = batches(given).batch(0, 0)
    assert batch.inputs.shape == (BATCH, *SPEC.input_shape)
    # indices twice, starts of crops, flips, centers of holes, mean and deviation; then, in a test
    # on the CPU, the batch itself, which lies where it is wanted
    drawn = [tensor for tensor in sent if tensor.data_ptr() != batch.targets.data_ptr()]
    small = [tensor for tensor in drawn if tensor.dtype != torch.uint8]
    assert sorted(t.numel() for t in small) == sorted(
        [BATCH, BATCH, 2 * BATCH, BATCH, 2 * BATCH, 4]
    )


def test_data_go_to_a_gpu_where_they_take_a_quarter_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, size = data(), N * (2 * 6 * 6 + 8)
    assert resident.stored(given) == size
    assert resident.resident(given, CPU) is given
    placed = data()
    monkeypatch.setattr(resident, "placed", lambda data, device: placed)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * size, 8 * size))
    assert resident.resident(given, CUDA) is placed
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * size - 1, 8 * size))
    assert resident.resident(given, CUDA) is given
    assert "the data stay on the host" in capsys.readouterr().out


def test_placed_data_are_the_same_data() -> None:
    given, other = data(), resident.placed(data(), CPU)
    pairs = zip(evaluation(given, torch.arange(N)), evaluation(other, torch.arange(N)), strict=True)
    for one, two in pairs:
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets, two.targets)
    assert other.fingerprint == given.fingerprint


def test_channels_last_changes_the_layout_alone() -> None:
    one, other = batches(data()).batch(1, 2), batches(data(), channels_last=True).batch(1, 2)
    assert torch.equal(one.inputs, other.inputs)
    assert one.inputs.is_contiguous()
    assert other.inputs.is_contiguous(memory_format=torch.channels_last)
    assert not other.inputs.is_contiguous()
