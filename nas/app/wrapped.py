"""What goes around the update of a strategy: stages, and what acts on the weights' steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from nas.app.objective import limits_at, objective_of
from nas.engine.rng import derive_seed
from nas.gradients import Transformed, WeightTransform
from nas.instantiate import asked, conforming, factory, target_of
from nas.strategies import Update

if TYPE_CHECKING:
    from nas.build import Parts


def wrapped(parts: Parts, update: Update) -> Update:
    """The update inside the strategy's rotation, curriculum and transforms, where it has any."""
    node = parts.cfg.strategy.get("rotation")
    if node is not None:
        made = factory(node, parts.cfg.plugins)(
            update=update,
            policy=parts.policy,
            objective_at=lambda cost, target: objective_of(parts, limits_at(parts, cost, target)),
        )
        update = cast(Update, conforming(made, Update, target_of(node)))
    node = parts.cfg.strategy.get("curriculum")
    if node is not None:
        seed = derive_seed(parts.cfg.seed, "curriculum")
        made = factory(node, parts.cfg.plugins)(
            update=update, policy=parts.policy, supernet=parts.supernet, seed=seed
        )
        update = cast(Update, conforming(made, Update, target_of(node)))
    return Transformed(update, parts.transforms) if parts.transforms else update


def transforms_of(parts: Parts) -> dict[str, WeightTransform]:
    """The entries of ``strategy.transforms``, each given what its constructor asks for."""
    named = parts.cfg.strategy.get("transforms") or {}
    return {str(name): _made(parts, str(name), node) for name, node in named.items()}


def _made(parts: Parts, name: str, node: Any) -> WeightTransform:
    offered = {
        "supernet": parts.supernet,
        "optimizer": parts.weights_optimizer,
        "task": parts.task,
        "autocast": parts.autocast,
        "epochs": int(parts.cfg.trainer.epochs),
        "seed": derive_seed(parts.cfg.seed, "transform", name),
    }
    plugins = parts.cfg.plugins
    made = factory(node, plugins)(**asked(node, plugins, **offered))
    return cast(WeightTransform, conforming(made, WeightTransform, target_of(node)))
