from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.arch import (
    Arch,
    Weights,
    detach,
    distance,
    entropies,
    entropy,
    from_genotype,
    inclusion,
    k_hot,
    set_probability,
)
from nas.decision import Choice, Decision

shares = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6)


def normalized(parts: list[float]) -> Tensor:
    values = torch.tensor(parts, dtype=torch.float64)
    return values / values.sum()


def drawn_sets(p: list[float], pick: int) -> dict[frozenset[int], float]:
    """Probability of every set, by writing down all ordered draws without replacement."""
    found: dict[frozenset[int], float] = {}
    for order in permutations(range(len(p)), pick):
        chance, left = 1.0, 1.0
        for index in order:
            chance *= p[index] / left
            left -= p[index]
        found[frozenset(order)] = found.get(frozenset(order), 0.0) + chance
    return found


@pytest.mark.parametrize("pick", [1, 2, 3])
@given(parts=st.lists(st.floats(0.05, 1.0), min_size=4, max_size=5))
def test_inclusion_enumerates_ordered_draws(pick: int, parts: list[float]) -> None:
    p = normalized(parts)
    sets = drawn_sets(p.tolist(), pick)
    expected = [sum(q for kept, q in sets.items() if i in kept) for i in range(len(p))]
    torch.testing.assert_close(inclusion(p, pick), torch.tensor(expected, dtype=p.dtype))
    for kept, probability in sets.items():
        assert float(set_probability(p, sorted(kept))) == pytest.approx(probability)


def test_inclusion_of_two_is_the_closed_form() -> None:
    p = normalized([1.0, 2.0, 3.0, 4.0])
    expected = [p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i) for i in range(4)]
    torch.testing.assert_close(inclusion(p, 2), torch.stack(expected))


@pytest.mark.parametrize(("n", "pick"), [(n, k) for n in range(1, 6) for k in range(1, n + 1)])
def test_inclusion_is_exact_on_k_hot_weights(n: int, pick: int) -> None:
    for kept in combinations(range(n), pick):
        weights = k_hot(Decision("d", tuple(range(n)), pick=pick), [kept])
        assert torch.equal(inclusion(weights.row, pick), weights.row)
        assert float(set_probability(weights.row, kept)) == 1.0


@given(shares, st.integers(1, 3))
def test_inclusion_sums_to_pick(parts: list[float], pick: int) -> None:
    pick = min(pick, len(parts))
    assert float(inclusion(normalized(parts), pick).sum()) == pytest.approx(pick)


def test_inclusion_needs_no_normalized_weights() -> None:
    values = torch.tensor([1.0, 2.0, 5.0])
    torch.testing.assert_close(inclusion(values, 2), inclusion(values / 8, 2))


def test_inclusion_of_a_saturated_softmax_is_finite() -> None:
    saturated = torch.tensor([0.0, 1.0, 0.0, 0.0], requires_grad=True)
    found = inclusion(saturated, 2)
    torch.testing.assert_close(found, torch.tensor([1 / 3, 1.0, 1 / 3, 1 / 3]))
    (gradient,) = torch.autograd.grad(found[0], saturated)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("pick", [1, 2, 3])
def test_the_gradient_of_inclusion_is_its_finite_difference(pick: int) -> None:
    logits = torch.tensor([0.3, -0.2, 1.0, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: inclusion(x.softmax(0), pick), logits)


@given(st.lists(shares.filter(lambda parts: len(parts) == 4), min_size=1, max_size=3))
def test_gates_never_increase_and_begin_at_one(rows: list[list[float]]) -> None:
    gates = Weights(torch.stack([normalized(row) for row in rows]), (0, 1, 2, 3)).gates()
    assert torch.allclose(gates[:, 0], torch.ones(len(rows), dtype=gates.dtype))
    assert (gates.diff(dim=-1) <= 0).all()
    for j in range(4):
        by_hand = [normalized(row)[j:].sum() for row in rows]
        torch.testing.assert_close(gates[:, j], torch.stack(by_hand))


@given(shares, st.integers(0, 100))
def test_a_mixture_over_levels_is_a_sum_of_gated_steps(parts: list[float], seed: int) -> None:
    w = normalized(parts)
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randn(len(w), 7, generator=generator, dtype=torch.float64)
    steps = torch.cat([levels[:1], levels.diff(dim=0)])
    gates = Weights(w[None], tuple(range(len(w)))).gates()[0]
    torch.testing.assert_close(w @ levels, gates @ steps)


def test_mix_runs_live_candidates_only() -> None:
    def refuse(x: Tensor) -> Tensor:
        raise AssertionError("this candidate is not live")

    weights = Weights(torch.tensor([[0.25, 0.0, 0.75]]), (0, 2))
    x = torch.tensor([2.0, 4.0])
    mixed = weights.mix([torch.neg, refuse, torch.square], x)
    torch.testing.assert_close(mixed, -0.25 * x + 0.75 * x * x)


def test_mixing_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no live candidate"):
        Weights(torch.zeros(1, 2), ()).mix([torch.neg, torch.neg], torch.ones(1))


def test_expectation_per_group() -> None:
    weights = Weights(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), (0, 1))
    assert weights.expect(torch.tensor([2, 4])).tolist() == [3.0, 4.0]
    assert weights.expect(torch.tensor([[2.0, 4.0], [6.0, 8.0]])).tolist() == [3.0, 8.0]


def test_row_and_index_refuse_groups_and_mixtures() -> None:
    one, two = torch.tensor([[0.0, 1.0]]), torch.eye(2)
    assert Weights(one, (1,)).index == 1
    with pytest.raises(ValueError, match="one group only, got 2 groups"):
        _ = Weights(two, (0, 1)).row
    with pytest.raises(ValueError, match="2 live candidates in 1 group"):
        _ = Weights(one, (0, 1)).index
    with pytest.raises(ValueError, match=r"1 live candidates in 2 group\(s\)"):
        _ = Weights(two, (1,)).index


def test_a_genotype_gives_pick_ones_per_row() -> None:
    decisions = {
        "op": Decision("op", ("a", "b", "c")),
        "inputs": Decision("inputs", (0, 1, 2, 3), pick=2),
        "width": Decision("width", (2, 4, 8), kind="nested", groups=3),
        "dropped": Decision("dropped", (0, 1)),
    }
    like = torch.zeros((), dtype=torch.float64)
    genotype: dict[str, Choice] = {"op": "b", "inputs": (3, 0), "width": (8, 2, 8)}
    arch = from_genotype(decisions, genotype, like)
    assert set(arch) == set(genotype)
    assert arch["op"].values.tolist() == [[0, 1, 0]]
    assert arch["op"].live == (1,)
    assert arch["inputs"].values.tolist() == [[1, 0, 0, 1]]
    assert arch["inputs"].live == (0, 3)
    assert arch["width"].values.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert arch["width"].live == (0, 2)
    assert all(weights.values.dtype == torch.float64 for weights in arch.values())


@given(st.data())
def test_k_hot_holds_the_positions(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    pick = data.draw(st.integers(1, n))
    groups = data.draw(st.integers(1, 3)) if pick == 1 else 1
    decision = Decision("d", tuple(range(n)), pick=pick, groups=groups)
    order = st.permutations(range(n)).map(lambda p: p[:pick])
    positions = data.draw(st.lists(order, min_size=groups, max_size=groups))
    weights = k_hot(decision, positions)
    rows = [[float(i in chosen) for i in range(n)] for chosen in positions]
    assert weights.values.tolist() == rows
    assert weights.live == tuple(i for i in range(n) if any(i in chosen for chosen in positions))


def test_detaching_cuts_the_graph_also_of_deferred_weights() -> None:
    values = torch.tensor([[0.5, 0.5]], requires_grad=True)
    arch: Arch = {
        "a": Weights(values * 1, (0, 1)),
        "b": lambda evidence: Weights(values * evidence, (0, 1)),
    }
    outside = detach(arch)
    a, b = outside["a"], outside["b"]
    assert isinstance(a, Weights)
    assert not isinstance(b, Weights)
    assert not a.values.requires_grad
    resolved = b(torch.tensor(2.0))
    assert not resolved.values.requires_grad
    assert resolved.values.tolist() == [[1.0, 1.0]]


def test_entropy_is_between_certain_and_uniform() -> None:
    uniform = Weights(torch.full((2, 4), 0.25), (0, 1, 2, 3))
    certain = Weights(torch.eye(4)[:2], (0, 1))
    assert float(entropy(uniform)) == pytest.approx(float(torch.log(torch.tensor(4.0))))
    assert float(entropy(certain)) == 0.0
    p = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    assert float(entropy(Weights(p, (0, 1)))) == pytest.approx(float(-(p * p.log()).sum() / 2))


def test_entropies_are_means_by_the_first_part_of_the_name() -> None:
    even, sure = Weights(torch.full((1, 2), 0.5), (0, 1)), Weights(torch.eye(2)[:1], (0,))
    found = entropies({"normal/0": even, "normal/1": sure, "reduce/0": sure, "x": lambda e: even})
    assert found == {"normal": pytest.approx(0.5 * 0.6931472), "reduce": 0.0}


def test_distance_is_the_total_variation() -> None:
    a: Arch = {"x": Weights(torch.tensor([[1.0, 0.0]]), (0,)), "y": Weights(torch.eye(2), (0, 1))}
    b: Arch = {"x": Weights(torch.tensor([[0.25, 0.75]]), (0, 1)), "z": a["x"]}
    assert distance(a, b) == pytest.approx(0.75)
    assert distance(a, a) == 0.0
    left, right = (Weights(torch.tensor([row]), (0,)) for row in ([1.0, 1, 0, 0], [0.0, 0, 1, 1]))
    assert distance({"x": left}, {"x": right}) == 1.0
    with pytest.raises(ValueError, match="no decision in common"):
        distance({"x": a["x"]}, {"z": a["x"]})
