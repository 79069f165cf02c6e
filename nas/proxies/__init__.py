"""Scores of untrained networks by one batch: zero-cost proxies for any module, batch and loss."""

from nas.proxies.probe import Loss, Probe
from nas.proxies.registry import DEFAULT, PROXIES, known, scores

__all__ = ["DEFAULT", "PROXIES", "Loss", "Probe", "known", "scores"]
