"""What Python code calls: the run verbs as functions, runs as objects, networks with weights."""

from nas.api.networks import load, network
from nas.api.run import Run, runs
from nas.api.verbs import evaluate, export, retrain, search

__all__ = ["Run", "evaluate", "export", "load", "network", "retrain", "runs", "search"]
