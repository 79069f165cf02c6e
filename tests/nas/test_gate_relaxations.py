"""Drawn gates of nested decisions: distributions, gradients, masks, and what they learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies import FreeLogits
from nas.relaxations import BinaryGates, HardConcrete, Relaxation, log_odds, stick_breaking

WIDE = torch.ones(1, 4, dtype=torch.bool)
ROWS = st.lists(st.floats(-4, 4), min_size=2, max_size=6)


def drawn(relaxation: Relaxation, row: Tensor, mask: Tensor, count: int, seed: int = 0) -> Tensor:
    """Weights (count, n) of as many draws from one row of logits (n,)."""
    generator = torch.Generator().manual_seed(seed)
    rows, masks = row.expand(count, -1), mask.expand(count, -1)
    return relaxation(rows, masks, 1, generator)[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_weights_of_gates_are_products_and_give_the_gates_again(gates: list[float]) -> None:
    weights = stick_breaking(torch.tensor([gates], dtype=torch.float64))
    for j in range(len(gates) + 1):
        wanted = math.prod(gates[:j]) * (1 - gates[j] if j < len(gates) else 1)
        assert float(weights[0, j]) == pytest.approx(wanted, abs=1e-12)
    again = Weights(weights, tuple(range(len(gates) + 1))).gates()[0]
    for j in range(len(gates) + 1):
        assert float(again[j]) == pytest.approx(math.prod(gates[:j]), abs=1e-12)


@given(ROWS, st.data())
@settings(max_examples=50)
def test_the_softmax_stick_by_stick_is_the_softmax(
    logits: list[float], data: st.DataObject
) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits)))
    if not any(keep):
        keep[0] = True
    row, mask = torch.tensor([logits], dtype=torch.float64), torch.tensor([keep])
    found = stick_breaking(torch.sigmoid(log_odds(row, mask)))
    torch.testing.assert_close(found, row.masked_fill(~mask, -torch.inf).softmax(-1))


def test_binary_gates_draw_from_the_softmax() -> None:
    row = torch.tensor([0.3, -0.5, 1.0, 0.0], dtype=torch.float64)
    for mask in (WIDE, torch.tensor([[True, False, True, True]])):
        seen = drawn(BinaryGates(), row, mask, 20_000)
        assert set(seen.unique().tolist()) == {0.0, 1.0}
        wanted = row.masked_fill(~mask[0], -torch.inf).softmax(-1)
        # Four deviations of a mean of 20,000 draws.
        torch.testing.assert_close(seen.mean(0), wanted, atol=4 * 0.5 / math.sqrt(20_000), rtol=0)


def test_binary_gates_have_the_gradient_of_their_probabilities() -> None:
    row = torch.tensor([[0.3, -0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 3, dtype=torch.bool)
    weights, live = BinaryGates()(row, mask, 1, torch.Generator().manual_seed(3))
    gates = (weights[0].flip(-1).cumsum(-1).flip(-1)[1:] > 0).double()
    p = torch.sigmoid(log_odds(row, mask))[0]
    slope = p * (1 - p)
    # d(w_2) = d(g_1 g_2) = g_2 dg_1 + g_1 dg_2, with dg = p (1 - p) dphi.
    seen = torch.autograd.grad(weights[0, 2], row, retain_graph=True)[0]
    opened = [bool(gates[0]), bool(gates[1])]
    jacobian = torch.autograd.functional.jacobian(lambda a: log_odds(a, mask)[0], row)[:, 0]
    second = float(weights.detach()[0, 2] > 0 or _second(row, mask))
    wanted = second * slope[0] * jacobian[0] + float(opened[0]) * slope[1] * jacobian[1]
    torch.testing.assert_close(seen[0], wanted)
    assert live == [(int(weights.detach().argmax()),)]


def _second(row: Tensor, mask: Tensor) -> bool:
    """Whether the second gate was drawn open, whatever the first one is."""
    generator = torch.Generator().manual_seed(3)
    uniform = torch.rand(1, 2, generator=generator, dtype=torch.float64)
    return bool((uniform.log() - torch.log1p(-uniform) + log_odds(row, mask))[0, 1] > 0)


def test_hard_concrete_gates_follow_their_distribution() -> None:
    temperature, low, high = 2 / 3, -0.1, 1.1
    row = torch.tensor([0.0, 0.7], dtype=torch.float64)
    gate = drawn(HardConcrete(temperature, low, high), row, WIDE[:, :2], 40_000)[:, 1]
    # P(z = 0) and P(z = 1): where the stretched concrete variable is cut off (1712.01312, eq. 11).
    phi = 0.7
    zero = 1 - torch.sigmoid(torch.tensor(phi - temperature * math.log(-low / high)))
    edge = (1 - low) / (high - low)
    one = torch.sigmoid(torch.tensor(phi - temperature * math.log(edge / (1 - edge))))
    assert float((gate == 0).double().mean()) == pytest.approx(float(zero), abs=0.01)
    assert float((gate == 1).double().mean()) == pytest.approx(float(one), abs=0.01)
    # The median is the value at u = 1/2.
    middle = torch.sigmoid(torch.tensor(phi / temperature)) * (high - low) + low
    assert float(gate.median()) == pytest.approx(float(middle), abs=0.02)


def test_the_gradient_of_hard_concrete_gates_is_that_of_their_mean() -> None:
    relaxation, count, step = HardConcrete(), 40_000, 0.1
    row = torch.tensor([0.2, -0.3, 0.4], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([1.0, 3.0, 9.0], dtype=torch.float64)
    mask = WIDE[:, :3]
    mean = (drawn(relaxation, row, mask, count) @ values).mean()
    (gradient,) = torch.autograd.grad(mean, row)
    for place in range(3):
        moved = [row.detach().clone() for _ in range(2)]
        moved[0][place] -= step
        moved[1][place] += step
        ends = [float((drawn(relaxation, each, mask, count) @ values).mean()) for each in moved]
        # Equal noise in both: the difference is one of smooth functions, but for its curvature.
        assert float(gradient[place]) == pytest.approx((ends[1] - ends[0]) / 2 / step, abs=0.02)


@pytest.mark.parametrize("make", [HardConcrete, BinaryGates])
@pytest.mark.parametrize("best", [0, 1, 2])
def test_gates_learn_the_best_rung(make: Callable[[], Relaxation], best: int) -> None:
    found = []
    for seed in range(3):
        policy = FreeLogits({"bits": Decision("bits", (2, 4, 8), "nested")}, make(), seed=seed)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
        losses = torch.tensor([float(abs(rung - best)) for rung in range(3)])
        for _ in range(200):
            optimizer.zero_grad()
            torch.autograd.backward((_row(policy().arch) * losses).sum())
            optimizer.step()
        found.append(int(_row(policy.probabilities()).argmax()))
    assert found == [best] * 3


def _row(arch: object) -> Tensor:
    assert isinstance(arch, dict)
    return arch["bits"].row  # type: ignore[no-any-return]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature > 0, low < 0 and high > 1, got 0"):
        HardConcrete(0.0)
    with pytest.raises(ValueError, match="keep one candidate of a nested decision, not 2"):
        BinaryGates()(torch.zeros(1, 3), WIDE[:, :3], 2, torch.Generator())
    with pytest.raises(ConfigError, match="rate of a policy must be above 0"):
        FreeLogits({"bits": Decision("bits", (2, 4), "nested")}, BinaryGates(), rate=0.0)
