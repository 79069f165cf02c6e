"""Several policies as one: who owns what, samples, masks, state, and groups of an optimizer."""

from __future__ import annotations

import pytest
import torch

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import Controller, FreeLogits, Policy, Split, parameter_groups
from nas.relaxations import HardConcrete, Softmax

OPS = {name: Decision(name, ("a", "b", "c")) for name in ("left", "right")}
BITS = {"bits": Decision("bits", (2, 4, 8), "nested")}


def make(seed: int = 0, rate: float | None = None) -> Split:
    return Split(
        {
            "policy": FreeLogits(OPS, Softmax(), seed=seed),
            "gates": FreeLogits(BITS, HardConcrete(), rate=rate, seed=seed + 1),
        }
    )


def test_each_policy_hands_out_its_own() -> None:
    split, alone = make(), FreeLogits(BITS, HardConcrete(), seed=1)
    assert list(split.decisions) == ["left", "right", "bits"]
    for _ in range(3):
        whole, part = split().arch["bits"], alone().arch["bits"]
        assert isinstance(whole, Weights)
        assert isinstance(part, Weights)
        torch.testing.assert_close(whole.values, part.values, rtol=0, atol=0)
    assert set(split.probabilities()) == {*OPS, *BITS}


def test_log_probabilities_and_entropies_add_up() -> None:
    parts: dict[str, Policy] = {"a": Controller(OPS, seed=0), "b": Controller(BITS, seed=1)}
    samples = [Controller(OPS, seed=0)(), Controller(BITS, seed=1)()]
    both = Split(parts)()
    torch.testing.assert_close(both.log_prob, samples[0].log_prob + samples[1].log_prob)
    torch.testing.assert_close(both.entropy, samples[0].entropy + samples[1].entropy)
    assert float(both.entropy.detach()) > 0


def test_masks_go_to_the_owner() -> None:
    split = make()
    split.set_mask("bits", [True, True, False])
    split.set_mask("left", [True, False, True])
    assert split.mask("bits").tolist() == [[True, True, False]]
    assert len(split.held()) == 2
    assert len(split.take_reset()) == 2
    with pytest.raises(ConfigError, match="does not own decision 'depth'"):
        split.mask("depth")


def test_a_decision_has_one_owner() -> None:
    with pytest.raises(ConfigError, match="'left' belongs to two policies"):
        Split({"a": FreeLogits(OPS, Softmax()), "b": FreeLogits(OPS, Softmax())})


def test_groups_take_the_rate_that_a_part_asks_for() -> None:
    split = make(rate=0.2)
    optimizer = torch.optim.Adam(parameter_groups(split), lr=0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.2]
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(each) for each in held} == {id(each) for each in split.parameters()}
    assert [set(group) for group in parameter_groups(make())] == [{"params"}, {"params"}]
