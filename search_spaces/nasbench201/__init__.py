"""The cell space of NAS-Bench-201 (arXiv 2001.00326)."""

from search_spaces.nasbench201.cells import EDGES, OPERATIONS, Cell
from search_spaces.nasbench201.named import NAMED
from search_spaces.nasbench201.network import Network
from search_spaces.nasbench201.space import NasBench201Space

__all__ = ["EDGES", "NAMED", "OPERATIONS", "Cell", "NasBench201Space", "Network"]
