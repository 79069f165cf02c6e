import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights, k_hot
from nas.cost_tree import Inclusion, Leaf
from nas.decision import Decision
from nas.searchable import MixedOp, Node
from nas.searchable.node import SumOfEdges
from nas.supernet import Supernet, frozen

INPUTS = Decision("node/inputs", (0, 1, 2), pick=2)
OPS = ("id", "neg", "square")
FUNCTIONS = (lambda x: x, torch.neg, torch.square)


class Apply(nn.Module):
    """Applies the function of this name."""

    def __init__(self, name: object) -> None:
        super().__init__()
        self.function = FUNCTIONS[OPS.index(str(name))]

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.function(x))


def make_node() -> Node:
    return Node([MixedOp(Decision(f"{i}->3", OPS), Apply) for i in range(3)], INPUTS)


def random_case() -> tuple[list[Tensor], dict[str, Weights], Tensor]:
    """States, softmax weights of the three edges, and of the inputs."""
    states = [torch.randn(2, 4, 3, 3, dtype=torch.float64) for _ in range(3)]
    p = torch.randn(3, 3, dtype=torch.float64).softmax(-1)
    edges = {f"{i}->3": Weights(p[i : i + 1], (0, 1, 2)) for i in range(3)}
    return states, edges, torch.randn(3, dtype=torch.float64).softmax(0)


def by_loop(states: list[Tensor], edges: dict[str, Weights], b: list[float]) -> Tensor:
    value = torch.zeros_like(states[0])
    for i in range(3):
        row = edges[f"{i}->3"].values[0].tolist()
        for o in range(3):
            value += b[i] * row[o] * FUNCTIONS[o](states[i])
    return value


def test_with_edge_weights_a_node_is_the_double_sum_of_the_paper() -> None:
    states, edges, b = random_case()
    arch = {**edges, "node/inputs": Weights(b[None], (0, 1, 2))}
    found = Supernet(make_node())(states, arch)
    torch.testing.assert_close(found, by_loop(states, edges, b.tolist()))


def test_without_edge_weights_all_edges_are_added_up() -> None:
    states, edges, _ = random_case()
    found = Supernet(make_node())(states, edges)
    torch.testing.assert_close(found, by_loop(states, edges, [1.0, 1.0, 1.0]))


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (1, 2)])
def test_k_hot_weights_are_the_plain_sum_of_two_edges(kept: tuple[int, int]) -> None:
    states, edges, _ = random_case()
    net = Supernet(make_node())
    found = net(states, {**edges, "node/inputs": k_hot(INPUTS, [kept])})
    torch.testing.assert_close(found, by_loop(states, edges, [float(i in kept) for i in range(3)]))
    assert set(net.realised()) == {"node/inputs", *(f"{i}->3" for i in kept)}


def test_edge_weights_receive_a_gradient() -> None:
    states, edges, _ = random_case()
    beta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    arch = {**edges, "node/inputs": Weights(beta.softmax(0)[None], (0, 1, 2))}
    (gradient,) = torch.autograd.grad(Supernet(make_node())(states, arch).square().sum(), beta)
    assert gradient.abs().min() > 0


def test_states_that_a_node_does_not_read_may_follow() -> None:
    states, edges, _ = random_case()
    net = Supernet(make_node())
    assert torch.equal(net([*states, torch.ones(1)], edges), net(states, edges))


def test_a_frozen_node_is_a_sum_over_its_inputs() -> None:
    states, edges, _ = random_case()
    one_hot = {name: k_hot(Decision(name, OPS), [[1]]) for name in edges}
    plain = Supernet(make_node()).freeze({**one_hot, "node/inputs": k_hot(INPUTS, [[2, 0]])})
    assert isinstance(plain, SumOfEdges)
    assert plain.inputs == (0, 2)
    assert torch.equal(plain(states), -states[0] - states[2])
    assert torch.equal(frozen(plain)(states), plain(states))


def test_the_cost_counts_edges_by_the_probability_that_they_are_kept() -> None:
    net = make_node()
    values = dict(zip(net.edges, (1.0, 2.0, 4.0), strict=True))
    node = net.cost(lambda part: Leaf(values[part]))
    assert node == Inclusion("node/inputs", 2, (Leaf(1.0), Leaf(2.0), Leaf(4.0)))
