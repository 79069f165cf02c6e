"""An agent for one continuous action: deep deterministic policy gradients (arXiv 1509.02971)."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from nas.agents.replay import Transitions

Net = TypeVar("Net", bound=nn.Module)
HIDDEN = 300
LAST = 3e-3  # range in which the last layers start, so that first actions are near 0.5


class Actor(nn.Module):
    """From states (n, features) to actions (n, 1) in (0, 1): two hidden layers of ReLUs."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1),
            nn.Sigmoid(),
        )

    def forward(self, states: Tensor) -> Tensor:
        """Actions (n, 1)."""
        found: Tensor = self.layers(states)
        return found


class Critic(nn.Module):
    """From states (n, features) and actions (n, 1) to values (n,); its first layer adds up both."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.of_states, self.of_actions = nn.Linear(features, HIDDEN), nn.Linear(1, HIDDEN)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Values (n,)."""
        found: Tensor = self.layers(self.of_states(states) + self.of_actions(actions))
        return found.squeeze(-1)


class Ddpg:
    """Actor and critic with slow copies of both, moved by Adam (arXiv 1509.02971, algorithm 1).

    The critic learns ``Q(s, a) = r + discount * Q'(s', mu'(s'))``, the actor ascends
    ``Q(s, mu(s))``; the copies follow by ``w' <- w' + tau (w - w')``. Everything random comes from
    a generator of its own.

    Args:
        features: numbers of a state.
        actor_rate, critic_rate: learning rates.
        tau: share by which the copies follow per update.
        discount: of later rewards.
        seed: of the initial weights and of the noise.
    """

    def __init__(
        self,
        features: int,
        actor_rate: float = 1e-4,
        critic_rate: float = 1e-3,
        tau: float = 0.01,
        discount: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.tau, self.discount = tau, discount
        self.generator = torch.Generator().manual_seed(seed)
        with torch.device("meta"):  # its usual start would draw from the global generator
            actor, critic = Actor(features), Critic(features)
        self.actor = _started(actor.to_empty(device="cpu"), self.generator)
        self.critic = _started(critic.to_empty(device="cpu"), self.generator)
        self.slow_actor, self.slow_critic = deepcopy(self.actor), deepcopy(self.critic)
        self._actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_rate)
        self._critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=critic_rate)

    def uniform(self) -> float:
        """An action that knows nothing, from [0, 1)."""
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def act(self, state: Tensor, noise: float = 0.0) -> float:
        """The action in a state (features,), drawn around the actor's.

        Args:
            state: what is known.
            noise: deviation of the normal distribution, cut off at 0 and 1; 0 for none.
        """
        with torch.no_grad():
            mean = self.actor(state[None])[0, 0].double()
        if noise <= 0:
            return float(mean)
        ends = torch.special.ndtr(torch.stack([-mean / noise, (1 - mean) / noise]))
        place = torch.rand((), generator=self.generator, dtype=torch.float64)
        drawn = torch.special.ndtri(ends[0] + place * (ends[1] - ends[0]))
        return float((mean + noise * drawn).clamp(0.0, 1.0))

    def learn(self, seen: Transitions) -> tuple[float, float]:
        """One step of both nets; returns the critic's squared error and the actor's mean value."""
        with torch.no_grad():
            ahead = self.slow_critic(seen.after, self.slow_actor(seen.after))
            wanted = seen.rewards + self.discount * (1 - seen.done) * ahead
        error = nn.functional.mse_loss(self.critic(seen.states, seen.actions), wanted)
        self._critic_optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(error)
        self._critic_optimizer.step()
        value = self.critic(seen.states, self.actor(seen.states)).mean()
        parameters = list(self.actor.parameters())
        gradients = torch.autograd.grad(-value, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._actor_optimizer.step()
        self._follow(self.slow_actor, self.actor)
        self._follow(self.slow_critic, self.critic)
        return float(error.detach()), float(value.detach())

    def _follow(self, slow: nn.Module, fast: nn.Module) -> None:
        with torch.no_grad():
            for own, other in zip(slow.parameters(), fast.parameters(), strict=True):
                own.lerp_(other, self.tau)


def _started(net: Net, generator: torch.Generator) -> Net:
    """The net with weights drawn as ``nn.Linear`` does, those of its last layer near 0."""
    layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        bound = LAST if layer is layers[-1] else layer.in_features**-0.5
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator)
    return net
