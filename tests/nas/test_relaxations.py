from collections import Counter
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from nas.relaxations import Gumbel, Relaxation, SinglePath, Softmax, UniformPath

RELAXATIONS: list[Relaxation] = [
    Softmax(0.7),
    Gumbel(0.7, hard=False),
    Gumbel(0.7, hard=True),
    SinglePath(),
    UniformPath(),
]
SAMPLED = [r for r in RELAXATIONS if not r.soft]
LOGITS = torch.tensor([0.4, -0.6, 1.1, 0.0, 5.0])
MASK = torch.tensor([True, True, True, True, False])
DRAWS = 6000


def name(relaxation: Relaxation) -> str:
    return f"{type(relaxation).__name__}-{'soft' if relaxation.soft else 'hard'}"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frequencies(relaxation: Relaxation, pick: int) -> Counter[tuple[int, ...]]:
    """How often each set is kept in ``DRAWS`` draws from ``LOGITS``, the last candidate masked."""
    many = (DRAWS, len(LOGITS))
    _, live = relaxation(LOGITS.expand(many), MASK.expand(many), pick, seeded())
    return Counter(live)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Logits (rows, n), a mask, and how many are picked; at least so many are allowed."""
    rows, n = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    pick = draw(st.integers(1, n))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    logits = scale * torch.randn(rows, n, generator=seeded(draw(st.integers(0, 1000))))
    orders = draw(st.lists(st.permutations(range(n)), min_size=rows, max_size=rows))
    mask = torch.zeros(rows, n, dtype=torch.bool)
    for row, order in enumerate(orders):
        mask[row, order[: draw(st.integers(pick, n))]] = True
    return logits, mask, pick


@pytest.mark.parametrize("relaxation", RELAXATIONS, ids=name)
@given(case=stacks(), seed=st.integers(0, 1000))
def test_rows_are_weights(
    relaxation: Relaxation, case: tuple[Tensor, Tensor, int], seed: int
) -> None:
    logits, mask, pick = case
    values, live = relaxation(logits, mask, pick, seeded(seed))
    wanted = 1.0 if relaxation.soft else float(pick)
    torch.testing.assert_close(values.sum(-1), torch.full((len(values),), wanted))
    assert (values[~mask] == 0).all()
    assert (values >= 0).all()
    for row, alive in enumerate(live):
        full = mask if relaxation.soft else values.bool()
        assert alive == tuple(full[row].nonzero().flatten().tolist())
        if not relaxation.soft:
            assert set(values[row].tolist()) <= {0.0, 1.0}
            assert len(alive) == pick


@pytest.mark.parametrize("relaxation", RELAXATIONS, ids=name)
def test_the_same_seed_gives_the_same_weights(relaxation: Relaxation) -> None:
    logits, mask = torch.randn(20, 5), torch.ones(20, 5, dtype=torch.bool)
    first, live = relaxation(logits, mask, 2, seeded(3))
    again, live_again = relaxation(logits, mask, 2, seeded(3))
    other, _ = relaxation(logits, mask, 2, seeded(4))
    assert torch.equal(first, again)
    assert live == live_again
    assert torch.equal(first, other) == isinstance(relaxation, Softmax)


def test_softmax_is_the_closed_form() -> None:
    logits, mask = LOGITS[None], MASK[None]
    values, _ = Softmax(0.5)(logits, mask, 1, seeded())
    scores = [2.718281828459045 ** (x / 0.5) for x in LOGITS[:4].tolist()]
    expected = torch.tensor([[*(s / sum(scores) for s in scores), 0.0]])
    torch.testing.assert_close(values, expected)


@given(stacks())
def test_a_small_temperature_is_the_argmax(case: tuple[Tensor, Tensor, int]) -> None:
    logits, mask, _ = case
    best = logits.masked_fill(~mask, -torch.inf).argmax(-1)
    values, _ = Softmax(1e-7)(logits, mask, 1, seeded())
    torch.testing.assert_close(values, torch.nn.functional.one_hot(best, logits.shape[1]).float())


@given(stacks(), st.integers(0, 1000))
def test_gumbel_approaches_its_hard_form(case: tuple[Tensor, Tensor, int], seed: int) -> None:
    logits, mask, _ = case
    soft, _ = Gumbel(1e-6, hard=False)(logits, mask, 1, seeded(seed))
    hard, _ = Gumbel(1.0, hard=True)(logits, mask, 1, seeded(seed))
    torch.testing.assert_close(soft, hard)


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e6])
def test_what_gumbel_keeps_does_not_depend_on_the_temperature(temperature: float) -> None:
    # At 1e-3 most weights are exactly 0, as the masked ones are; at 1e6 all are equal.
    many = (500, len(LOGITS))
    warm, live = Gumbel(temperature)(LOGITS.expand(many), MASK.expand(many), 2, seeded())
    _, expected = Gumbel(0.5)(LOGITS.expand(many), MASK.expand(many), 2, seeded())
    assert live == expected
    assert (warm[:, 4] == 0).all()


def test_a_large_difference_of_logits_never_lets_a_masked_candidate_in() -> None:
    logits = torch.tensor([[200.0, 0.0, -200.0, 500.0]]).expand(50, 4)
    mask = torch.tensor([[True, True, True, False]]).expand(50, 4)
    for relaxation in SAMPLED:
        _, live = relaxation(logits, mask, 3, seeded())
        assert live == [(0, 1, 2)] * 50


@pytest.mark.parametrize("relaxation", [Gumbel(0.3), Gumbel(4.0), SinglePath()])
def test_single_samples_follow_the_softmax(relaxation: Relaxation) -> None:
    counts = frequencies(relaxation, 1)
    expected = LOGITS[:4].double().softmax(0) * DRAWS
    assert chisquare([counts[(i,)] for i in range(4)], expected.tolist()).pvalue > 1e-3
    assert sum(counts.values()) == sum(counts[(i,)] for i in range(4))


@pytest.mark.parametrize("relaxation", [Gumbel(), SinglePath()], ids=name)
def test_pairs_follow_draws_without_replacement(relaxation: Relaxation) -> None:
    p = LOGITS[:4].double().softmax(0).tolist()
    chances = Counter[tuple[int, ...]]()
    for first, second in permutations(range(4), 2):
        chances[min(first, second), max(first, second)] += p[first] * p[second] / (1 - p[first])
    counts = frequencies(relaxation, 2)
    assert set(counts) <= set(chances)
    observed = [counts[pair] for pair in chances]
    assert chisquare(observed, [DRAWS * q for q in chances.values()]).pvalue > 1e-3


@pytest.mark.parametrize("pick", [1, 2, 3])
def test_uniform_paths_do_not_see_the_logits(pick: int) -> None:
    counts = frequencies(UniformPath(), pick)
    sets = list(combinations(range(4), pick))
    assert set(counts) == set(sets)
    assert chisquare([counts[kept] for kept in sets]).pvalue > 1e-3


@pytest.mark.parametrize("pick", [1, 2])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_straight_through_gradient_is_the_soft_one(pick: int, temperature: float) -> None:
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    mask, effect = torch.rand(6, 5) > 0.2, torch.randn(6, 5, dtype=torch.float64)
    mask[:, :pick] = True
    hard, _ = Gumbel(temperature, hard=True)(logits, mask, pick, seeded(1))
    soft, _ = Gumbel(temperature, hard=False)(logits, mask, pick, seeded(1))
    (through,) = torch.autograd.grad((hard * effect).sum(), logits)
    (direct,) = torch.autograd.grad(pick * (soft * effect).sum(), logits)
    assert torch.equal(hard.detach(), hard.detach().round())
    torch.testing.assert_close(through, direct)


def test_a_single_path_takes_the_gradient_of_what_it_ran() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    mask, effect = torch.ones(4, 5, dtype=torch.bool), torch.randn(4, 5, dtype=torch.float64)
    values, _ = SinglePath()(logits, mask, 1, seeded())
    (found,) = torch.autograd.grad((values * effect).sum(), logits)
    ran = values.detach()
    (expected,) = torch.autograd.grad((logits.softmax(-1) * ran * effect).sum(), logits)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("relaxation", [r for r in RELAXATIONS if not isinstance(r, UniformPath)])
def test_masked_logits_receive_no_gradient_and_others_do(relaxation: Relaxation) -> None:
    logits = torch.randn(30, 5, requires_grad=True)
    mask = torch.ones(30, 5, dtype=torch.bool)
    mask[:, 3] = False
    values, _ = relaxation(logits, mask, 1, seeded())
    (gradient,) = torch.autograd.grad((values * torch.randn(30, 5)).sum(), logits)
    assert (gradient[:, 3] == 0).all()
    assert (gradient[:, mask[0]].abs().sum(0) > 0).all()


@pytest.mark.parametrize("make", [Softmax, Gumbel])
@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_above_zero(
    make: type[Softmax] | type[Gumbel], temperature: float
) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        make(temperature)
