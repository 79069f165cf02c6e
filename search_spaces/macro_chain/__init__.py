"""The chain of NAS-Bench-Macro (arXiv 2103.11922): eight layers, three candidates each."""

from search_spaces.macro_chain.network import OPERATIONS, Network
from search_spaces.macro_chain.space import MacroChainSpace

__all__ = ["OPERATIONS", "MacroChainSpace", "Network"]
