"""In which order the candidates of decisions are let in (CNAS, arXiv 2007.07197, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nas.decision import Candidate, Decision
from nas.errors import ConfigError, nearest
from nas.policies import Policy
from nas.searchable.scope import scopes
from nas.supernet import Supernet

Grown = Literal["operations", "nodes"]
GROWN: tuple[Grown, ...] = ("operations", "nodes")
_NOTHING = {
    "operations": "the policy has no decision between several operations; leave the curriculum out",
    "nodes": "the policy has no decision on the inputs of nodes; where the space has some, set "
    "strategy.edge_weights=true, else strategy.curriculum.grow=operations",
}


@dataclass(frozen=True)
class Growth:
    """The rows of a decision: which candidates they have in the end, and in which order.

    Attributes:
        mask: bool (groups, n), what is allowed once everything is let in.
        order: of the columns that are allowed in any row.
        least: how many are there from the start.
    """

    mask: Tensor
    order: tuple[int, ...]
    least: int

    def allowed(self, stage: int, stages: int) -> Tensor:
        """The mask (groups, n) in a stage, counted from 0; the last one has everything."""
        more = len(self.order) - self.least
        count = len(self.order) if stages == 1 else self.least + more * stage // (stages - 1)
        here = torch.zeros(self.mask.shape[-1], dtype=torch.bool)
        here[list(self.order[:count])] = True
        return self.mask & here


def growths(
    policy: Policy, supernet: Supernet, grow: Grown, first: Sequence[Candidate] | None, seed: int
) -> dict[str, Growth]:
    """How every decision of a kind grows, by name; those with nothing to let in are left out.

    Args:
        policy: with all that it may ever choose allowed.
        supernet: whose candidates are looked at for weights.
        grow: ``operations``: decisions that keep one of several alternatives, in an order drawn
            once for each list of candidates; ``nodes``: those that keep several inputs, which are
            let in as they stand.
        first: candidates that come first, in this order; None takes the first one with weights.
        seed: of the orders.

    Raises:
        ConfigError: for nothing that could grow, and candidates that no decision has.
    """
    if grow not in GROWN:
        raise ConfigError(
            f"strategy.curriculum.grow must be one of {', '.join(GROWN)}, "
            f"got {grow!r}{nearest(str(grow), GROWN)}"
        )
    chosen = {n: d for n, d in policy.decisions.items() if _kind(d) == grow}
    _check_first(first, grow, chosen)
    heavy = _with_weights(supernet)
    orders: dict[tuple[Candidate, ...], tuple[int, ...]] = {}
    found: dict[str, Growth] = {}
    generator = torch.Generator().manual_seed(seed)
    for name, decision in chosen.items():
        mask = policy.mask(name)
        columns = mask.any(0).nonzero().flatten().tolist()
        known = tuple(decision.candidates[column] for column in columns)
        if known not in orders:
            if grow == "nodes":
                orders[known] = tuple(columns)
            else:
                ahead = first if first is not None else _learner(decision, columns, heavy)
                orders[known] = _shuffled(decision, columns, ahead, generator)
        if len(columns) > decision.pick:
            found[name] = Growth(mask, orders[known], decision.pick)
    if not found:
        raise ConfigError(f"strategy.curriculum.grow={grow}: {_NOTHING[grow]}")
    return found


def _kind(decision: Decision) -> Grown | None:
    if decision.kind != "alternatives":
        return None
    return "operations" if decision.pick == 1 else "nodes"


def _shuffled(
    decision: Decision,
    columns: Sequence[int],
    ahead: Sequence[Candidate],
    generator: torch.Generator,
) -> tuple[int, ...]:
    places = {decision.candidates[column]: column for column in columns}
    head = [places[name] for name in ahead if name in places]
    rest = [column for column in columns if column not in head]
    drawn = torch.randperm(len(rest), generator=generator).tolist()
    return (*head, *(rest[place] for place in drawn))


def _learner(
    decision: Decision, columns: Sequence[int], heavy: Mapping[str, set[Candidate]]
) -> Sequence[Candidate]:
    """The first candidate with weights, or nothing: paths of pools alone would have none."""
    names = [decision.candidates[column] for column in columns]
    return [name for name in names if name in heavy.get(decision.name, ())][:1]


def _with_weights(supernet: Supernet) -> dict[str, set[Candidate]]:
    """The candidates that hold parameters, by decision."""
    found: dict[str, set[Candidate]] = {}
    for _, module, scope in scopes(supernet.net):
        if scope.owner is not None and any(True for _ in module.parameters(recurse=False)):
            found.setdefault(scope.owner[0], set()).add(scope.owner[1])
    return found


def _check_first(
    first: Sequence[Candidate] | None, grow: Grown, decisions: Mapping[str, Decision]
) -> None:
    if first is None:
        return
    if grow == "nodes":
        raise ConfigError(
            "strategy.curriculum.first orders operations, and grow=nodes lets inputs in as they "
            "stand; leave one of the two out"
        )
    known = {str(each) for decision in decisions.values() for each in decision.candidates}
    for name in first:
        if str(name) not in known:
            raise ConfigError(
                f"strategy.curriculum.first: no decision has the candidate {name!r}; there are "
                f"{', '.join(sorted(known))}{nearest(str(name), known)}"
            )
