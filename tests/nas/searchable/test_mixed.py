import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.arch import Weights, k_hot
from nas.cost_tree import Alternatives, Leaf
from nas.decision import Candidate, Decision
from nas.searchable import MixedOp
from nas.supernet import Supernet

DECISION = Decision("edge", ("id", "half", "square"))


class Apply(nn.Module):
    """Applies one of three functions, and counts how often."""

    def __init__(self, name: Candidate) -> None:
        super().__init__()
        self.function = {"id": lambda x: x, "half": lambda x: x / 2}.get(str(name), torch.square)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.as_tensor(self.function(x))


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_output_is_the_weighted_sum(row: list[float]) -> None:
    x = torch.tensor([[1.0, -3.0, 0.5]], dtype=torch.float64)
    weights = Weights(torch.tensor([row], dtype=torch.float64), (0, 1, 2))
    found = Supernet(MixedOp(DECISION, Apply))(x, {"edge": weights})
    torch.testing.assert_close(found, row[0] * x + row[1] * x / 2 + row[2] * x * x)


def test_only_live_candidates_are_executed() -> None:
    net = MixedOp(DECISION, Apply)
    Supernet(net)(torch.ones(2), {"edge": Weights(torch.tensor([[0.5, 0.0, 0.5]]), (0, 2))})
    assert [op.calls for op in net.ops.values()] == [1, 0, 1]


def test_operations_that_did_not_run_have_no_gradient() -> None:
    net = MixedOp(DECISION, lambda name: nn.Linear(2, 2))
    output = Supernet(net)(torch.ones(1, 2), {"edge": k_hot(DECISION, [[1]])})
    torch.autograd.backward(output.sum())
    ran = [all(p.grad is not None for p in op.parameters()) for op in net.ops.values()]
    assert ran == [False, True, False]


def test_channels_are_handed_to_the_operations_and_can_be_resized() -> None:
    net = MixedOp(DECISION, lambda name, c: nn.Conv2d(c, c, 1, stride=2), channels=8, stride=2)
    small = net.resized(2)
    assert [op.in_channels for op in net.ops.values()] == [8] * 3
    assert [op.in_channels for op in small.ops.values()] == [2] * 3
    assert small.slot.decision is DECISION
    assert (small.channels, small.stride) == (2, 2)


@pytest.mark.parametrize(
    "candidates",
    [
        ("double", "values", "training", "forward"),  # names of ModuleDict's attributes
        (1, "1", 0.5, "0_5"),  # equal once they are text without dots
        ("", "a.b", "a_b", "a_b_"),
    ],
)
def test_candidates_of_any_name_are_told_apart(candidates: tuple[Candidate, ...]) -> None:
    decision = Decision("edge", candidates)
    made: list[Candidate] = []

    def make(candidate: Candidate) -> nn.Module:
        made.append(candidate)
        return nn.Linear(1, len(made))

    net = MixedOp(decision, make)
    assert tuple(made) == candidates
    for index in range(4):
        output = Supernet(net)(torch.ones(1, 1), {"edge": k_hot(decision, [[index]])})
        assert output.shape == (1, index + 1)
        frozen = Supernet(net).freeze({"edge": k_hot(decision, [[index]])})
        assert torch.equal(frozen(torch.ones(1, 1)), output)


def test_usual_names_stay_in_the_checkpoint() -> None:
    net = MixedOp(Decision("edge", ("skip", "conv_3x3")), lambda name: nn.Linear(1, 1, bias=False))
    assert list(net.state_dict()) == ["ops.skip.weight", "ops.conv_3x3.weight"]


def test_the_cost_is_one_alternative_per_candidate() -> None:
    net = MixedOp(DECISION, Apply)
    values = dict(zip(net.ops.values(), (1.0, 2.0, 4.0), strict=True))
    node = net.cost(lambda part: Leaf(values[part]))
    assert node == Alternatives("edge", (Leaf(1.0), Leaf(2.0), Leaf(4.0)))
