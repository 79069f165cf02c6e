"""What a network costs: expectations over open choices, exact counts on built networks."""

from nas.costs.base import Cost, TreeCost, rule_of
from nas.costs.bitops import BitOps, count_bitops
from nas.costs.count import Macs, Parameters, count_macs, count_parameters
from nas.costs.latency import Latency
from nas.costs.stored import KB, Size, count_bytes
from nas.costs.width_layers import WidthLayer, width_layers

__all__ = [
    "KB",
    "BitOps",
    "Cost",
    "Latency",
    "Macs",
    "Parameters",
    "Size",
    "TreeCost",
    "WidthLayer",
    "count_bitops",
    "count_bytes",
    "count_macs",
    "count_parameters",
    "rule_of",
    "width_layers",
]
