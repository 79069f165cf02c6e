"""When metrics are read: at once on the CPU, rarely where the host would have to wait for them."""

from __future__ import annotations

import pytest
import torch

from nas.engine import readings
from nas.engine.readings import Readings, waits_for


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors count as lying on a device."""
    monkeypatch.setattr(readings, "waits_for", lambda value: True)


def test_what_lies_on_the_cpu_is_due_at_once_whenever_it_was_read() -> None:
    found = Readings(seconds=1e9)
    assert not waits_for(torch.zeros(()))
    assert waits_for(torch.zeros((), device="meta"))
    for step in range(3):
        found.add(step, {"loss": torch.tensor(0.5)})
        assert found.due
        assert list(found.read()) == [(step, {"loss": 0.5})]


def test_what_lies_elsewhere_is_due_after_a_while_and_read_in_order_once(far_away: None) -> None:
    found = Readings(seconds=60.0)
    for step in range(3):
        found.add(step, {"loss": torch.tensor(float(step)), "accuracy": torch.tensor(1)})
        assert not found.due
    found.seconds = 0.0
    assert found.due
    found.seconds = 60.0
    assert list(found.read()) == [(i, {"loss": float(i), "accuracy": 1.0}) for i in range(3)]
    assert list(found.read()) == []
    found.add(3, {"loss": torch.tensor(0.0)})
    assert not found.due
