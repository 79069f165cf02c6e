"""Losses of earlier architectures around a step, which is left as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from nas.arch import Arch
from nas.batch import Batch
from nas.errors import ConfigError
from nas.gradients import Disturbance, Transformed
from nas.objectives import Objective
from nas.policies import Uniform
from nas.strategies import Reinforce, SinglePath
from nas.strategies.base import Phase
from nas.supernet import Supernet
from nas.tasks import Classification
from nas.testing.toys import Edges

SPACE = Edges()


class Recorded(Uniform):
    """Keeps the paths that it hands out."""

    def __init__(self, decisions: Any) -> None:
        super().__init__(decisions)
        self.seen: list[Arch] = []

    def forward(self) -> Any:
        found = super().forward()
        self.seen.append(found.arch)
        return found


def made(**settings: Any) -> tuple[SinglePath, Recorded, Disturbance]:
    torch.manual_seed(0)
    supernet = Supernet(SPACE.supernet())
    policy = Recorded(dict(supernet.decisions))
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1, momentum=0.9)
    update = SinglePath(supernet, policy, Objective(Classification()), optimizer)
    return update, policy, Disturbance(supernet, Classification(), **settings)


def batch(seed: int) -> Batch:
    return SPACE.batch(16, torch.Generator().manual_seed(seed))


def test_the_metric_is_the_mean_rise_over_the_architectures_trained_last() -> None:
    update, policy, transform = made(every=3, architectures=4)
    phase = Transformed(update, {"disturbance": transform}).phases(1)[0]
    assert phase.streams == ("weights", "architecture")
    held = batch(99)

    def losses(supernet: Supernet, archs: list[Arch]) -> torch.Tensor:
        copied = copy.deepcopy(supernet)
        with torch.no_grad():
            found = [Classification().loss(copied(held.inputs, a), held.targets) for a in archs]
        return torch.stack(found)

    told = []
    for turn in range(11):
        archs = policy.seen[-4:]
        before = losses(update.supernet, archs) if len(archs) == 4 else None
        found = phase.step(batch(turn), held)
        if "disturbance" in found:
            told.append(turn)
            assert before is not None
            rise = (losses(update.supernet, archs) - before).mean()
            torch.testing.assert_close(found["disturbance"], rise)
            assert -1 <= float(found.get("order", torch.tensor(0.0))) <= 1
    assert told == [6, 9]  # at 3 three architectures were trained


def test_the_search_is_left_as_it_is() -> None:
    found = []
    for measured in (True, False):
        update, _, transform = made(every=1, architectures=2)
        transforms = {"disturbance": transform} if measured else {}
        phase = Transformed(update, transforms).phases(1)[0]
        torch.manual_seed(5)
        for turn in range(6):
            phase.step(*(batch(turn), batch(turn + 50))[: len(phase.streams)])
        found.append((update.supernet.state_dict(), torch.get_rng_state()))
    (one, random), (other, same) = found
    assert torch.equal(random, same)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_phase_that_reads_held_back_data_anyway_reads_no_more() -> None:
    _, _, transform = made()
    phase = Phase("search", 2, ("weights", "architecture"), Reinforce.step)
    assert transform.around(phase).streams == phase.streams


@pytest.mark.parametrize("settings", [{"every": 0}, {"architectures": 1}, {"every": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be a whole number of at least"):
        made(**settings)
