"""Who learns or draws the supernet's decisions, from the settings of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nas.decision import Decision
from nas.engine.rng import derive_seed
from nas.errors import ConfigError
from nas.instantiate import asked, conforming, factory, target_of
from nas.policies import Policy, Split, ThresholdGates, check_single
from nas.space import decisions_of

if TYPE_CHECKING:
    from nas.build import Parts


def policy_of(parts: Parts) -> Policy:
    """The policy over the supernet's decisions; with ``strategy.gates`` two that share them.

    Edge weights are among the decisions only where the strategy has them.
    """
    strategy = parts.cfg.strategy
    decisions = {
        name: decision
        for name, decision in parts.supernet.decisions.items()
        if strategy.edge_weights or name not in parts.supernet.optional
    }
    node = strategy.get("gates")
    if node is None:
        return _made(parts, strategy.policy, decisions, "policy")
    nested = {name: each for name, each in decisions.items() if each.kind == "nested"}
    if not nested:
        raise ConfigError(
            "strategy.gates are for nested decisions such as bits and widths, and this search has "
            "none; give it some, as in compression=superbit, or set strategy.gates=null"
        )
    others = {name: each for name, each in decisions.items() if name not in nested}
    gates = _made(parts, node, nested, "gates")
    if not others:
        return gates
    if strategy.relaxation is None:
        raise ConfigError(
            "strategy.gates learn by gradients through the weights of decisions, and this strategy "
            "draws whole paths; choose strategy=darts, pc_darts or gdas, or set strategy.gates=null"
        )
    return Split({"policy": _made(parts, strategy.policy, others, "policy"), "gates": gates})


def _made(parts: Parts, node: Any, decisions: Mapping[str, Decision], name: str) -> Policy:
    offered: dict[str, Any] = {"decisions": decisions, "seed": derive_seed(parts.cfg.seed, name)}
    if name == "policy" and parts.cfg.strategy.relaxation is not None:
        offered["relaxation"] = parts.relaxation
    if asked(node, parts.cfg.plugins, kept=None):
        offered["kept"] = decisions_of(parts.space)
    policy = factory(node, parts.cfg.plugins)(**offered)
    if isinstance(policy, ThresholdGates):
        check_single(parts.supernet)
    return cast(Policy, conforming(policy, Policy, target_of(node)).to(parts.device))
