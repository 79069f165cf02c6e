"""What the run verbs do; importing this registers the resolver that names run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.app import naming

if TYPE_CHECKING:
    from omegaconf import DictConfig

naming.register()


def run(verb: str, cfg: DictConfig) -> float | None:
    """Run a verb on its composed configuration.

    Returns the test value of the task's primary metric, if there is one: sweepers read it.
    """
    from nas.app import verbs

    return verbs.VERBS[verb](cfg)
