"""The agent: where it starts, its noise, its step against a second implementation."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from scipy.stats import kstest, truncnorm
from torch import Tensor, nn

from nas.agents import Ddpg, Transitions

FEATURES = 4


def some(count: int = 16, seed: int = 1) -> Transitions:
    g = torch.Generator().manual_seed(seed)
    states, after = torch.rand(2, count, FEATURES, generator=g)
    actions, rewards = torch.rand(count, 1, generator=g), torch.randn(count, generator=g)
    done = (torch.rand(count, generator=g) < 0.3).float()
    return Transitions(states, actions, rewards, torch.zeros(count).long(), after, done)


def values(net: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_first_actions_are_near_a_half_and_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    state = torch.rand(FEATURES, generator=torch.Generator().manual_seed(0))
    first, again, other = (Ddpg(FEATURES, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.act(state) == again.act(state) != other.act(state)
    assert first.act(state) == pytest.approx(0.5, abs=0.02)
    assert [first.uniform() for _ in range(3)] == [again.uniform() for _ in range(3)]


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_noise_is_a_normal_distribution_cut_off_at_the_ends(noise: float) -> None:
    agent, state = Ddpg(FEATURES), torch.zeros(FEATURES)
    mean = agent.act(state)
    drawn = [agent.act(state, noise) for _ in range(2000)]
    assert 0 <= min(drawn) <= max(drawn) <= 1
    expected = truncnorm(-mean / noise, (1 - mean) / noise, loc=mean, scale=noise)
    assert kstest(drawn, expected.cdf).pvalue > 0.001


def test_a_step_is_that_of_the_formulas() -> None:
    agent = Ddpg(FEATURES, actor_rate=1e-3, critic_rate=1e-2, tau=0.1, discount=0.9)
    agent.learn(some(seed=2))  # so that the copies are no longer equal to the nets
    actor, critic = deepcopy(agent.actor), deepcopy(agent.critic)
    slow_actor, slow_critic = deepcopy(agent.slow_actor), deepcopy(agent.slow_critic)
    seen = some(seed=3)
    error, value = agent.learn(seen)
    wanted = torch.stack(
        [
            r if d else r + 0.9 * slow_critic(s[None], slow_actor(s[None]))[0].detach()
            for r, d, s in zip(seen.rewards, seen.done, seen.after, strict=True)
        ]
    )
    mean_error = (critic(seen.states, seen.actions) - wanted).square().mean()
    assert error == pytest.approx(float(mean_error.detach()), rel=1e-5)
    moved = agent.critic(seen.states, actor(seen.states)).mean()  # the critic moves first
    assert value == pytest.approx(float(moved.detach()), rel=1e-5)
    for slow, old, fast in (
        (agent.slow_actor, slow_actor, agent.actor),
        (agent.slow_critic, slow_critic, agent.critic),
    ):
        for now, then, lead in zip(values(slow), values(old), values(fast), strict=True):
            torch.testing.assert_close(now, 0.9 * then + 0.1 * lead, rtol=1e-5, atol=1e-7)


def test_it_finds_the_best_action_of_every_state() -> None:
    """A bandit: the best action is a feature of the state."""
    agent = Ddpg(FEATURES, actor_rate=1e-3, tau=0.05)
    for step in range(150):
        seen = some(64, seed=step)
        rewards = -4 * (seen.actions[:, 0] - seen.states[:, 0]).square()
        agent.learn(seen._replace(rewards=rewards, done=torch.ones(64)))
    states = some(64, seed=-1).states
    off = (agent.actor(states)[:, 0] - states[:, 0]).abs().mean()
    assert float(off.detach()) < 0.1  # 0.25 for the start's constant 0.5; 0.02 to 0.04 measured
