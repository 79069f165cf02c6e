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

THRESHOLDS = "nas.policies.ThresholdGates"
SOFTMAX = {"_target_": "nas.relaxations.Softmax", "temperature": 1.0}  # says nothing by itself


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
    _check_gates(strategy, alone=not others)
    gates = _made(parts, node, nested, "gates")
    if not others:
        return gates
    return Split({"policy": _made(parts, strategy.policy, others, "policy"), "gates": gates})


def _check_gates(strategy: Any, *, alone: bool) -> None:
    """Raise ConfigError for a strategy beside which gates would learn nothing, or it would not."""
    by_thresholds = target_of(strategy.policy) == THRESHOLDS
    if strategy.get("rotation") is not None:
        raise ConfigError(
            "this strategy has gates of its own, which are told a target; set strategy.gates=null"
        )
    if strategy.relaxation is None and not by_thresholds:
        raise ConfigError(
            "strategy.gates learn by gradients through the weights of decisions, and this strategy "
            "draws whole paths; choose strategy=darts, pc_darts or gdas, or set strategy.gates=null"
        )
    if alone and not by_thresholds and dict(strategy.relaxation) != SOFTMAX:
        raise ConfigError(
            "all decisions here are nested, so that strategy.gates takes the place of "
            "strategy.policy and nothing reads strategy.relaxation; choose strategy=darts, or set "
            "strategy.gates=null"
        )


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
