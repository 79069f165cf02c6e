"""Checks for users' own parts: each raises AssertionError with a sentence on what is wrong."""

from nas.testing.cost import check_cost
from nas.testing.data_source import check_data_source
from nas.testing.exporter import check_exporter
from nas.testing.policy import check_policy
from nas.testing.relaxation import check_relaxation
from nas.testing.space import check_space, checks_of_space
from nas.testing.strategy import check_strategy
from nas.testing.task import check_task

__all__ = [
    "check_cost",
    "check_data_source",
    "check_exporter",
    "check_policy",
    "check_relaxation",
    "check_space",
    "check_strategy",
    "check_task",
    "checks_of_space",
]
