"""A chain of five layers with four operations each: 1,024 networks that train in a second."""

from search_spaces.chain.network import OPERATIONS, Network
from search_spaces.chain.space import ChainSpace
from search_spaces.chain.stacked import StackedNetwork

__all__ = ["OPERATIONS", "ChainSpace", "Network", "StackedNetwork"]
