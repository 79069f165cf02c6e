from collections.abc import Mapping
from functools import cache
from itertools import permutations, product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.arch import Arch, Weights, from_genotype
from nas.cost_tree import Alternatives, CostNode, Inclusion, Leaf, Sum, add, tree_of
from nas.decision import Decision, Genotype
from nas.searchable import MixedOp, Node

DECISIONS = {
    d.name: d
    for d in (
        Decision("a", (0, 1)),
        Decision("b", (0, 1, 2)),
        Decision("c", (0, 1, 2), pick=2),
        Decision("d", (0, 1, 2, 3), pick=3),
    )
}
SINGLE = [name for name, d in DECISIONS.items() if d.pick == 1]
LOGITS = sum(len(d) for d in DECISIONS.values())

# A tree as data: ("leaf", cost), ("sum", parts) or (kind, decision, parts). Names occur anywhere,
# also below themselves.
Tree = tuple[Any, ...]
values = st.integers(0, 20).map(float)


def extend(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def fork(kind: str, name: str) -> st.SearchStrategy[Tree]:
        n = len(DECISIONS[name])
        return st.tuples(st.just(kind), st.just(name), st.lists(parts, min_size=n, max_size=n))

    return st.one_of(
        st.tuples(st.just("sum"), st.lists(parts, min_size=1, max_size=3)),
        st.sampled_from(SINGLE).flatmap(lambda name: fork("alternatives", name)),
        st.sampled_from(list(DECISIONS)).flatmap(lambda name: fork("inclusion", name)),
    )


leaves = st.tuples(st.just("leaf"), values)
trees = extend(st.recursive(leaves, extend, max_leaves=12))


def build(tree: Tree) -> CostNode:
    match tree:
        case ("leaf", cost):
            return Leaf(cost)
        case ("sum", parts):
            return add([build(part) for part in parts])
        case ("alternatives", name, parts):
            return Alternatives(name, tuple(build(part) for part in parts))
        case (_, name, parts):
            return Inclusion(name, DECISIONS[name].pick, tuple(build(part) for part in parts))
    raise AssertionError(tree)


def cost(tree: Tree, genotype: Mapping[str, tuple[int, ...]]) -> float:
    """What a tree costs under one genotype: leaves that are reached."""
    match tree:
        case ("leaf", value):
            return float(value)
        case ("sum", parts):
            return sum(cost(part, genotype) for part in parts)
        case (_, name, parts):
            return sum(cost(parts[i], genotype) for i in genotype[name])
    raise AssertionError(tree)


@cache
def orders() -> list[dict[str, tuple[int, ...]]]:
    """Every way to draw all decisions, each in order and without replacement."""
    every = [list(permutations(range(len(d)), d.pick)) for d in DECISIONS.values()]
    return [dict(zip(DECISIONS, drawn, strict=True)) for drawn in product(*every)]


def brute_force(tree: Tree, p: Mapping[str, list[float]]) -> float:
    total = 0.0
    for genotype in orders():
        chance = 1.0
        for name, order in genotype.items():
            left = 1.0
            for i in order:
                chance *= p[name][i] / left
                left -= p[name][i]
        total += chance * cost(tree, genotype)
    return total


def arch_of(logits: Tensor) -> dict[str, Weights]:
    parts = torch.split(logits, [len(d) for d in DECISIONS.values()])
    return {
        name: Weights(part.softmax(0)[None], tuple(range(len(part))))
        for name, part in zip(DECISIONS, parts, strict=True)
    }


def random_logits(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(LOGITS, generator=generator, dtype=torch.float64)


def expected_by_hand(tree: Tree, arch: Mapping[str, Weights]) -> float:
    return brute_force(tree, {name: w.row.tolist() for name, w in arch.items()})


@settings(max_examples=60)
@given(trees, st.integers(0, 100))
def test_the_expectation_is_that_over_all_genotypes(tree: Tree, seed: int) -> None:
    arch = arch_of(random_logits(seed))
    found = build(tree).expect(arch)
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert float(found) == pytest.approx(expected_by_hand(tree, arch), rel=1e-9, abs=1e-9)


@settings(max_examples=15)
@given(trees, st.integers(0, 100))
def test_the_gradient_is_the_finite_difference(tree: Tree, seed: int) -> None:
    node, logits = build(tree), random_logits(seed).requires_grad_()
    if node.names:
        assert torch.autograd.gradcheck(lambda x: node.expect(arch_of(x)), logits)


@settings(max_examples=60)
@given(trees, st.data())
def test_k_hot_weights_give_the_cost_of_the_genotype(tree: Tree, data: st.DataObject) -> None:
    drawn = data.draw(st.sampled_from(orders()))
    genotype: Genotype = {n: drawn[n] if DECISIONS[n].pick > 1 else drawn[n][0] for n in drawn}
    arch = from_genotype(DECISIONS, genotype)
    assert float(build(tree).expect(arch)) == pytest.approx(cost(tree, drawn))
    chosen = {name: DECISIONS[name].positions(choice)[0] for name, choice in genotype.items()}
    assert build(tree).exact(chosen) == pytest.approx(cost(tree, drawn))


@settings(max_examples=40)
@given(st.lists(trees, min_size=1, max_size=3), st.integers(0, 100))
def test_merging_does_not_change_values(parts: list[Tree], seed: int) -> None:
    arch = arch_of(random_logits(seed))
    nodes = [build(part) for part in parts]
    separate = Sum(tuple(nodes)).expect(arch)
    torch.testing.assert_close(add(nodes).expect(arch), separate)
    torch.testing.assert_close(add([add(nodes[:1]), add(nodes[1:])]).expect(arch), separate)


def test_equal_decisions_merge_and_nothing_is_dropped_but_zeros() -> None:
    ones = Alternatives("a", (Leaf(1.0), Leaf(2.0)))
    tree = add([Leaf(3.0), ones, Leaf(0.0), ones, Leaf(4.0)])
    assert tree == Sum((Leaf(7.0), Alternatives("a", (Leaf(2.0), Leaf(4.0)))))
    assert tree.names == {"a"}
    assert add([ones]) == ones
    assert add([]) == add([Leaf(0.0)]) == Leaf(0.0)
    inputs = Inclusion("a", 1, (Leaf(1.0), Leaf(2.0)))
    assert add([inputs, ones, inputs]) == Sum((Inclusion("a", 1, (Leaf(2.0), Leaf(4.0))), ones))


def test_many_equal_cells_are_as_small_as_one() -> None:
    cell = Alternatives("a", (Leaf(1.0), Inclusion("c", 2, (Leaf(1.0), Leaf(2.0), Leaf(3.0)))))
    tree = add([cell] * 50)
    assert tree == Alternatives(
        "a", (Leaf(50.0), Inclusion("c", 2, (Leaf(50.0), Leaf(100.0), Leaf(150.0))))
    )


def test_a_tied_decision_is_conditioned_on_and_not_multiplied() -> None:
    # Both layers take the same candidate: E = p0 c00 + p1 c11; the mixed terms cannot happen.
    p = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    inner = [Alternatives("a", (Leaf(1.0), Leaf(10.0))), Alternatives("a", (Leaf(2.0), Leaf(20.0)))]
    found = Alternatives("a", tuple(inner)).expect({"a": Weights(p, (0, 1))})
    assert float(found) == pytest.approx(0.25 * 1 + 0.75 * 20)


def test_a_tied_set_of_inputs_is_conditioned_on_and_not_multiplied() -> None:
    # Two kept of three; an edge holds a node over the same inputs. All sets are equally likely.
    inner = Inclusion("c", 2, (Leaf(1.0), Leaf(10.0), Leaf(100.0)))
    found = Inclusion("c", 2, (inner, Leaf(0.0), Leaf(0.0))).expect({})
    assert float(found) == pytest.approx(1 / 3 * (1 + 10) + 1 / 3 * (1 + 100))


def test_decisions_that_were_not_executed_cost_nothing() -> None:
    assert float(Alternatives("a", (Leaf(1.0), Leaf(2.0))).expect({})) == 0.0


def test_inputs_without_weights_are_equally_likely() -> None:
    node = Inclusion("c", 2, (Leaf(3.0), Leaf(6.0), Leaf(9.0)))
    assert float(node.expect({})) == pytest.approx(2 / 3 * (3 + 6 + 9))
    assert float(Inclusion("c", 3, node.parts).expect({})) == pytest.approx(18.0)


def test_deferred_weights_are_refused() -> None:
    arch: Arch = {"a": lambda evidence: Weights(evidence, (0, 1))}
    for node in (Alternatives("a", (Leaf(1.0), Leaf(2.0))), Inclusion("a", 1, (Leaf(1.0),))):
        with pytest.raises(TypeError, match="'a' is deferred: costs read what the supernet real"):
            node.expect(arch)


def test_the_tree_of_a_network_follows_its_modules() -> None:
    edge = MixedOp(Decision("a", ("x", "y")), lambda name: nn.Linear(2, 2, bias=name == "y"))
    node = Node([nn.Sequential(nn.Linear(1, 1), edge), nn.Linear(3, 1)], Decision("b", (0, 1)))
    net = nn.Sequential(nn.Linear(4, 1, bias=False), node)
    own = {m: float(sum(p.numel() for p in m.parameters(recurse=False))) for m in net.modules()}
    expected = Sum(
        (
            Leaf(4.0),
            Inclusion(
                "b",
                1,
                (Sum((Leaf(2.0), Alternatives("a", (Leaf(4.0), Leaf(6.0))))), Leaf(4.0)),
            ),
        )
    )
    assert tree_of(net, own) == expected
