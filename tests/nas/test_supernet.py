import copy

import pytest
import torch
from torch import Tensor, nn

from nas.arch import Weights, k_hot
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable import MixedOp, Node
from nas.supernet import Slot, Supernet

OPS = ("linear", "double", "none")
A, B = Decision("a", OPS), Decision("b", OPS)


def make_op(name: object) -> nn.Module:
    linear = nn.Linear(3, 3, bias=False)
    return {"linear": linear, "double": nn.Sequential(linear, nn.Tanh())}.get(
        str(name), nn.Identity()
    )


def two_edges() -> Supernet:
    return Supernet(nn.Sequential(MixedOp(A, make_op), MixedOp(B, make_op), MixedOp(A, make_op)))


def even(*decisions: Decision) -> dict[str, Weights]:
    return {
        d.name: Weights(torch.full((d.groups, len(d)), 1 / len(d)), tuple(range(len(d))))
        for d in decisions
    }


class Reader(nn.Module):
    """Scales its input by the first weight of a decision, with the input as evidence."""

    def __init__(self, decision: Decision, calls: int = 1) -> None:
        super().__init__()
        self.slot, self.calls = Slot(decision), calls

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.calls):
            x = x * self.slot(x).row[0]
        return x


# slots


def test_an_unbound_slot_raises_with_the_name_of_its_decision() -> None:
    net = MixedOp(A, make_op)
    with pytest.raises(RuntimeError, match="decision 'a' is not bound; call the Supernet"):
        net(torch.ones(2, 3))


def test_a_decision_that_the_architecture_lacks_raises_only_where_it_is_read() -> None:
    supernet = two_edges()
    with pytest.raises(RuntimeError, match="decision 'b' is not bound"):
        supernet(torch.ones(2, 3), even(A))
    node = Node([nn.Identity(), MixedOp(B, make_op)], Decision("inputs", (0, 1)))
    arch = {"inputs": k_hot(node.slot.decision, [[0]])}
    x = torch.ones(2, 3)
    assert torch.equal(Supernet(node)([x, x], arch), x)


def test_a_deferred_decision_is_resolved_once_with_evidence_and_remembered() -> None:
    seen: list[Tensor] = []

    def measure(evidence: Tensor) -> Weights:
        seen.append(evidence)
        return Weights(torch.tensor([[0.5 * len(seen), 0.5]]), (0, 1))

    supernet = Supernet(Reader(Decision("d", (0, 1)), calls=3))
    x = torch.full((2,), 8.0)
    assert supernet(x, {"d": measure}).tolist() == [1.0, 1.0]
    assert len(seen) == 1
    assert torch.equal(seen[0], x)
    assert supernet.realised()["d"].values.tolist() == [[0.5, 0.5]]
    assert supernet(x, {"d": measure}).tolist() == [8.0, 8.0]  # resolved anew in the next forward
    assert len(seen) == 2


def test_a_deferred_decision_needs_evidence() -> None:
    supernet = two_edges()
    with pytest.raises(
        RuntimeError, match="'a' is deferred; its slot must be called with evidence"
    ):
        supernet(torch.ones(2, 3), {"a": lambda evidence: even(A)["a"], **even(B)})


def test_realised_lists_executed_slots_only() -> None:
    inputs = Decision("inputs", (0, 1), pick=1)
    supernet = Supernet(Node([MixedOp(A, make_op), MixedOp(B, make_op)], inputs))
    states, weights = [torch.ones(2, 3)] * 2, even(A, B)
    supernet(states, {**weights, "inputs": k_hot(inputs, [[1]])})
    assert set(supernet.realised()) == {"inputs", "b"}
    assert supernet.realised()["b"] is weights["b"]
    supernet(states, weights)  # without weights of the inputs, every edge runs
    assert set(supernet.realised()) == {"a", "b"}


def test_equal_names_share_one_decision() -> None:
    supernet = two_edges()
    assert dict(supernet.decisions) == {"a": A, "b": B}
    x = torch.ones(2, 3)
    supernet(x, even(A, B))
    assert set(supernet.realised()) == {"a", "b"}
    with pytest.raises(SpaceError, match="two different decisions share the name 'a'"):
        Supernet(nn.Sequential(MixedOp(A, make_op), Reader(Decision("a", (1, 2)))))


def test_optional_decisions_are_known() -> None:
    net = Node([MixedOp(A, make_op)], Decision("inputs", (0,)))
    assert Supernet(net).optional == {"inputs"}


# supernets


def test_the_parameters_are_exactly_the_weights() -> None:
    supernet = two_edges()
    own = {id(p) for p in supernet.parameters()}
    assert own == {id(p) for p in supernet.net.parameters()}
    assert len(own) == 6  # two operations with a matrix each on three edges


def test_a_copy_after_a_forward_with_graph_works_and_is_independent() -> None:
    supernet, x = two_edges(), torch.randn(2, 3)
    logits = torch.zeros(1, 3, requires_grad=True)
    arch = {n: Weights(logits.softmax(-1), (0, 1, 2)) for n in ("a", "b")}
    before = supernet(x, arch)
    twin = copy.deepcopy(supernet)
    assert twin.realised() == {}
    with pytest.raises(RuntimeError, match="not bound"):
        twin.net(x)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(supernet(x, arch), before)
    # The copy's slots are its own: binding it leaves the original bound as it was.
    twin(x, {"a": k_hot(A, [[2]]), "b": k_hot(B, [[2]])})
    assert supernet.realised()["a"] is arch["a"]
    torch.autograd.backward(before.sum())
    assert logits.grad is not None


def test_every_soft_decision_receives_a_gradient() -> None:
    torch.manual_seed(1)
    supernet = two_edges()
    logits = {name: torch.zeros(1, 3, requires_grad=True) for name in ("a", "b")}
    arch = {name: Weights(v.softmax(-1), (0, 1, 2)) for name, v in logits.items()}
    gradients = torch.autograd.grad(supernet(torch.randn(4, 3), arch).sum(), [*logits.values()])
    assert all(g.abs().min() > 0 for g in gradients)
