"""Search methods that only propose and observe: they know a space's decisions and nothing else."""

from nas.benchmarks.methods.base import METHODS, SearchMethod, Trial, make

__all__ = ["METHODS", "SearchMethod", "Trial", "make"]
