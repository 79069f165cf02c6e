"""What a search minimizes, and within which limits, from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.arch import Arch
from nas.budget import Limits
from nas.errors import ConfigError, nearest
from nas.objectives import Constraint, LogCost, Multiplier, Objective, Penalty
from nas.space import decisions_of, discretize, only_active, settled_choices
from nas.strategies.targets import ROUNDING, at_end, known_cost

if TYPE_CHECKING:
    from nas.build import Parts


def objective_of(parts: Parts, limits: Limits | None) -> Objective:
    """Task loss, one constraint per limit, and the strategy's pulls on costs.

    Raises ConfigError for a pull on a cost that is not configured.
    """
    maxima = {} if limits is None else limits.maxima
    weight = parts.cfg.budget.get("weight")
    constraints: list[Constraint] = [
        Multiplier(parts.costs[name], limit, float(parts.cfg.budget.rate))
        if weight is None
        else Penalty(parts.costs[name], limit, float(weight))
        for name, limit in maxima.items()
    ]
    for name, pull in (parts.cfg.strategy.get("log_costs") or {}).items():
        if name not in parts.costs:
            raise ConfigError(
                f"strategy.log_costs.{name}: no cost has that name; costs are "
                f"{', '.join(parts.costs)}{nearest(str(name), parts.costs)}"
            )
        if name not in maxima:  # a limit takes the place of a pull
            constraints.append(LogCost(parts.costs[name], float(pull)))

    def derived(arch: Arch) -> dict[str, float]:
        found = parts.cost_of(discretize(parts.space, arch))
        return {parts.costs[name].name: found[name] for name in maxima}

    return Objective(parts.task, constraints, derived)


def limits_at(parts: Parts, cost: str, target: float) -> Limits:
    """The budget, and a maximum on a cost: this share of what the whole network costs.

    Raises ConfigError for a cost that is not configured.
    """
    settled = settled_choices(parts.space)
    known = {n: d for n, d in decisions_of(parts.space).items() if n not in settled}
    whole = parts.cost_of(only_active(parts.space, {**settled, **at_end(known)}))
    most = whole[known_cost(cost, whole)] * (target + ROUNDING)
    return (parts.limits or Limits({}, parts.cost_of)).tightened(cost, most)
