from itertools import pairwise
from typing import Any

import pytest
import torch

from nas.errors import ConfigError
from nas.relaxations import Gumbel, SinglePath, Softmax
from nas.schedules import Temperature


@pytest.mark.parametrize("relaxation", [Softmax(), Gumbel()])
def test_linear(relaxation: Softmax | Gumbel) -> None:
    schedule = Temperature(relaxation, start=10.0, end=0.1, epochs=100)
    for epoch in range(100):
        schedule.on_epoch(epoch)
        assert relaxation.temperature == pytest.approx(10.0 - 9.9 * epoch / 99)


def test_exponential_has_one_factor() -> None:
    relaxation = Gumbel()
    schedule = Temperature(relaxation, start=5.0, end=0.5, epochs=11, shape="exponential")
    found = []
    for epoch in range(11):
        schedule.on_epoch(epoch)
        found.append(relaxation.temperature)
    assert found[0] == 5.0
    assert found[-1] == pytest.approx(0.5)
    ratios = [after / before for before, after in pairwise(found)]
    assert ratios == pytest.approx([0.1**0.1] * 10)


def test_the_next_weights_feel_it() -> None:
    relaxation, logits = Softmax(), torch.tensor([[0.0, 1.0]])
    Temperature(relaxation, start=4.0, end=0.1, epochs=2).on_epoch(0)
    values, _ = relaxation(logits, torch.ones(1, 2, dtype=torch.bool), 1, torch.Generator())
    torch.testing.assert_close(values, (logits / 4.0).softmax(-1))


def test_one_epoch_has_the_start() -> None:
    relaxation = Softmax()
    Temperature(relaxation, start=2.0, end=1.0, epochs=1).on_epoch(0)
    assert relaxation.temperature == 2.0


def test_a_relaxation_without_temperature_is_refused() -> None:
    with pytest.raises(ConfigError, match="no effect on SinglePath, which has no temperature"):
        Temperature(SinglePath(), start=1.0, end=0.1, epochs=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"start": 0.0}, {"end": -1.0}, {"shape": "cosine"}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    allowed: dict[str, Any] = {"start": 1.0, "end": 0.1, "epochs": 2}
    with pytest.raises(ConfigError, match="temperature needs start and end above 0"):
        Temperature(Softmax(), **{**allowed, **settings})
