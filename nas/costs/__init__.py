"""What a network costs: expectations over open choices, exact counts on built networks."""

from nas.costs.base import Cost, TreeCost
from nas.costs.count import COUNTING_RULE, Macs, Parameters, count_macs, count_parameters

__all__ = [
    "COUNTING_RULE",
    "Cost",
    "Macs",
    "Parameters",
    "TreeCost",
    "count_macs",
    "count_parameters",
]
