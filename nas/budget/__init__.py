"""Architectures within limits: whether there are any, and the one that a policy prefers."""

from nas.budget.feasible import cheapest
from nas.budget.filled import filled
from nas.budget.limits import Limits
from nas.budget.within import Within, within

__all__ = ["Limits", "Within", "cheapest", "filled", "within"]
