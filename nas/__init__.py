"""Differentiable neural architecture search: spaces, strategies and costs that combine freely.

The names below load their module on first use, so that ``import nas`` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The public names and the module each one lives in (PEP 562).
_HOME: dict[str, str] = {
    "ConfigError": "nas.errors",
    "DataSpec": "nas.dataspec",
    "Decision": "nas.decision",
    "GenotypeError": "nas.errors",
    "NasError": "nas.errors",
    "Run": "nas.api.run",
    "SpaceError": "nas.errors",
    "evaluate": "nas.api.verbs",
    "load": "nas.api.networks",
    "network": "nas.api.networks",
    "retrain": "nas.api.verbs",
    "runs": "nas.api.run",
    "search": "nas.api.verbs",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *_HOME})
