"""Agents that learn continuous actions from rewards; they know nothing of networks or spaces."""

from nas.agents.ddpg import Ddpg
from nas.agents.replay import Replay, Transitions
from nas.agents.rewards import PerCondition

__all__ = ["Ddpg", "PerCondition", "Replay", "Transitions"]
