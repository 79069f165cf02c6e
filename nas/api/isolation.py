"""Hydra keeps its state in the process; a call from Python must find and leave the caller's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import OmegaConf

_RESOLVERS = ("hydra", "now", "python_version")


@contextmanager
def own_hydra() -> Iterator[None]:
    """A fresh global Hydra inside; the caller's, or none, as before afterwards.

    What Hydra has found out about the installation (plug-ins, stored configs) is kept.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton
    from hydra.core.utils import JobRuntime

    per_run = (GlobalHydra, HydraConfig, JobRuntime)
    before = Singleton._instances
    known = [name for name in _RESOLVERS if OmegaConf.has_resolver(name)]
    Singleton._instances = {kind: it for kind, it in before.items() if kind not in per_run}
    try:
        yield
    finally:
        found = Singleton._instances
        Singleton._instances = before
        before.update({kind: it for kind, it in found.items() if kind not in per_run})
        for name in _RESOLVERS:
            if name not in known and OmegaConf.has_resolver(name):
                OmegaConf.clear_resolver(name)
