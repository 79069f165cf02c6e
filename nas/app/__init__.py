"""What the run verbs do; importing this registers the resolver that names run folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.app import naming
from nas.app.effect import check_effect
from nas.plugins import check_granted
from nas.schema import check_settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

naming.register()


def run(verb: str, cfg: DictConfig, typed: Sequence[str] = ()) -> float | None:
    """Run a verb on its composed configuration; ``typed`` are the settings that the user gave.

    Returns the test value of the task's primary metric, if there is one: sweepers read it.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from nas.app import verbs

    check_granted(cfg.get("plugins", ()), HydraConfig.get().overrides.task)
    if "trainer" in cfg:  # it trains, by settings of its own
        check_settings(cfg)
        check_effect(cfg, verb, typed, HydraConfig.get().mode == RunMode.MULTIRUN)
    return verbs.VERBS[verb](cfg)
