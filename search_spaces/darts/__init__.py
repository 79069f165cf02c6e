"""The cell-based space of DARTS (arXiv 1806.09055)."""

from search_spaces.darts.cells import Cell, Cells, Edge, Plan
from search_spaces.darts.named import NAMED
from search_spaces.darts.network import Network
from search_spaces.darts.space import DARTS_OPERATIONS, DartsSpace

__all__ = ["DARTS_OPERATIONS", "NAMED", "Cell", "Cells", "DartsSpace", "Edge", "Network", "Plan"]
