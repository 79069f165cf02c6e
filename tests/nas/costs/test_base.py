import pytest
import torch

from nas.arch import Weights
from nas.cost_tree import Alternatives, Leaf
from nas.costs import Cost, TreeCost


def test_a_tree_cost_has_name_unit_and_value() -> None:
    cost: Cost = TreeCost("params", "parameters", Alternatives("a", (Leaf(2.0), Leaf(6.0))))
    row = torch.tensor([[0.25, 0.75]], requires_grad=True)
    value = cost({"a": Weights(row, (0, 1))})
    assert (cost.name, cost.unit) == ("params", "parameters")
    (gradient,) = torch.autograd.grad(value, row)
    assert value.item() == pytest.approx(5.0)
    assert gradient.tolist() == [[2.0, 6.0]]
