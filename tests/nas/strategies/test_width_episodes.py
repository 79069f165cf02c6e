"""Episodes over widths: the target always holds, states and clamping by hand, on real spaces."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.compression import Compressed, Compression
from nas.costs import BitOps, Macs, Parameters, count_macs
from nas.dataspec import DataSpec
from nas.decision import Choice
from nas.errors import ConfigError
from nas.space import blueprint
from nas.strategies.width_episodes import Places, WidthEpisodes
from search_spaces.superbit import BackboneSpace
from tests.nas.strategies.analytic import Analytic

TARGETS = (0.3, 0.5, 0.7)
DATA = DataSpec((3, 16, 16), "classes", 10)
SPACES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "inner": ("resnet20", {"channels": 8}, {}),
    "residual": ("resnet20", {"channels": 8}, {"residual": True, "round_to": 2}),
}


class Real:
    """The widths of a network with its own costs, by their trees."""

    def __init__(self, name: str, cost: type = Macs) -> None:
        backbone, own, more = SPACES[name]
        rules = Compression(None, None, widths=(0.25, 0.5, 0.75, 1.0), **more)
        self.space = Compressed(BackboneSpace(DATA, backbone, own), rules)
        self.decisions = self.space.decisions
        net = blueprint(self.space)
        given = () if cost is Parameters else (DATA.input_shape,)
        self._tree = cost(net, *given)
        whole = [len(d) - 1 for d in self.decisions.values()]
        self.full = self._exact(whole)
        ladders = [[float(c) for c in d.candidates] for d in self.decisions.values()]
        fixed = torch.zeros(len(ladders), 1)
        self.episodes = WidthEpisodes(ladders, self.share, fixed)

    def _exact(self, places: Places) -> float:
        chosen = {n: (p,) for n, p in zip(self.decisions, places, strict=True)}
        return float(self._tree.exact(chosen))

    def share(self, places: Places) -> float:
        return self._exact(places) / self.full

    def genotype(self, places: Places) -> dict[str, Choice]:
        rows = zip(self.decisions.items(), places, strict=True)
        return {name: d.choice([[place]]) for (name, d), place in rows}


@pytest.mark.parametrize("cost", [Macs, Parameters, BitOps])
@pytest.mark.parametrize("name", SPACES)
def test_no_policy_exceeds_the_target(name: str, cost: type) -> None:
    real = Real(name, cost)
    generator = torch.Generator().manual_seed(0)
    least = real.episodes.least
    # Uniform actions, and policies that remove little, nearly all or nothing.
    for number, power in enumerate([1.0, 8.0, 0.1, float("inf")] * 3):

        def act(state: torch.Tensor, power: float = power) -> float:
            return float(torch.rand((), generator=generator)) ** power

        for target in (max(least, TARGETS[number % 3]), least, 1.0):
            episode = real.episodes.run(target, act)
            assert real.share(episode.places) <= target + 1e-9
            if power == float("inf") and target == 1.0:
                assert episode.clamped == 0
                assert real.share(episode.places) == 1


def test_the_cost_kept_is_that_of_the_network_built() -> None:
    real = Real("inner")
    whole = count_macs(real.space.network(real.genotype([3] * len(real.decisions))), (3, 16, 16))
    for target in TARGETS:
        episode = real.episodes.run(target, lambda state: 0.1)
        built = count_macs(real.space.network(real.genotype(episode.places)), (3, 16, 16))
        assert built / whole == pytest.approx(real.share(episode.places), rel=1e-9)
        assert built <= target * whole


ladders = st.lists(
    st.lists(st.integers(1, 20), min_size=1, max_size=5, unique=True).map(
        lambda found: tuple(sorted(each / 20 for each in {*found, 20}))
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(ladders, st.data())
def test_costs_that_interact_keep_to_the_target_and_to_the_budget(
    made: list[tuple[float, ...]], data: st.DataObject
) -> None:
    """Layers that read what the one before makes: the cost is no sum over the widths."""

    def cost(places: Places) -> float:
        kept = [1.0, *(ladder[place] for ladder, place in zip(made, places, strict=True)), 1.0]
        return sum(a * b for a, b in itertools.pairwise(kept)) / (len(kept) - 1)

    def widths(places: Places) -> float:
        return sum(ladder[place] for ladder, place in zip(made, places, strict=True))

    most = data.draw(st.floats(widths([0] * len(made)), len(made)))
    episodes = WidthEpisodes(
        made, cost, torch.zeros(len(made), 1), lambda places: widths(places) <= most
    )
    target = data.draw(st.floats(episodes.least, 1.0))
    actions = data.draw(st.lists(st.floats(0, 1), min_size=len(made), max_size=len(made)))
    turn = iter(actions)
    episode = episodes.run(target, lambda state: next(turn))
    assert cost(episode.places) <= target + 1e-9
    assert widths(episode.places) <= most
    # An action is changed only where the next candidate would have been too much.
    for step, place in enumerate(episode.places):
        asked = min(range(len(made[step])), key=lambda p: abs(made[step][p] - (1 - actions[step])))
        assert place <= asked
        if place < asked:
            more = [*episode.places[:step], place + 1, *[0] * (len(made) - step - 1)]
            assert cost(more) > target + 1e-9 or widths(more) > most


def test_states_and_clamping_by_hand() -> None:
    shares = [0.5, 0.3, 0.2]  # of the cost
    fixed = torch.tensor([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])

    def cost(places: Places) -> float:
        return sum(m * (0.5, 1.0)[p] for m, p in zip(shares, places, strict=True))

    episodes = WidthEpisodes([(0.5, 1.0)] * 3, cost, fixed)
    seen: list[list[float]] = []

    def act(state: torch.Tensor) -> float:
        seen.append([round(float(value), 6) for value in state])
        return 0.1  # removes nothing of 0.5 and 1

    episode = episodes.run(0.7, act)
    # The first stays whole with 0.75 at least, which is too much; then 0.65, and 0.75 again.
    assert episode.places == (0, 1, 0)
    assert episode.clamped == 2
    assert episode.actions[:, 0].tolist() == [0.5, 0.0, 0.5]
    assert seen == [  # target, two fixed, removed, still to be decided on, action before
        [0.7, 0.0, 0.0, 0.0, 0.5, 0.0],
        [0.7, 0.5, 0.0, 0.25, 0.25, 0.5],
        [0.7, 1.0, 0.0, 0.25, 0.1, 0.0],
    ]
    assert [[round(v, 6) for v in row] for row in episode.states.tolist()] == seen
    assert episodes.features == 6


def test_an_action_asks_for_the_nearest_share() -> None:
    episodes = WidthEpisodes([(0.25, 0.5, 0.75, 1.0)], lambda places: 1.0, torch.zeros(1, 1))
    asked = {0.0: 3, 0.1: 3, 0.15: 2, 0.4: 1, 0.6: 1, 0.65: 0, 1.0: 0}
    for action, place in asked.items():
        turn = iter([action])
        assert episodes.run(1.0, lambda state, turn=turn: next(turn)).places == (place,)  # type: ignore[misc]


def test_a_target_below_the_smallest_network_is_refused_with_what_it_keeps() -> None:
    episodes = Analytic(0).episodes
    episodes.check((0.1, 0.5))
    with pytest.raises(ConfigError, match=r"target of 0.09 cannot be met: .* keeps 0.1 of"):
        episodes.check((0.5, 0.09))
