"""Tables of trained architectures behind one interface: what was measured, asked and counted."""

from nas.benchmarks.budget import Budget, BudgetSpentError, CountingView
from nas.benchmarks.query import Query, Series
from nas.benchmarks.table import Column, SpaceRecord, Table

__all__ = [
    "Budget",
    "BudgetSpentError",
    "Column",
    "CountingView",
    "Query",
    "Series",
    "SpaceRecord",
    "Table",
]
