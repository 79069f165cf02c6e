"""A chain of blocks of mobile networks: kernel and expansion of every block are searched."""

from search_spaces.mobile.network import Network
from search_spaces.mobile.space import MobileSpace

__all__ = ["MobileSpace", "Network"]
