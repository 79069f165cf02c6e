"""A very small space whose best genotype is known, with the data that it is best for."""

from search_spaces.toy.space import OPERATIONS, ToySpace

__all__ = ["OPERATIONS", "ToySpace"]
