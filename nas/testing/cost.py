"""The contract of a cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor, nn

from nas.arch import Weights, from_genotype
from nas.costs import KB, Cost, count_bytes, count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.decision import Choice, Decision
from nas.space import SearchSpace, blueprint, decisions_of, enumerate_genotypes, only_active
from nas.supernet import Supernet
from nas.testing import common
from nas.testing.common import attempting, require

Count = Callable[[nn.Module], float]
LIMIT = 2000  # combinations of choices up to which an expectation is compared with its sum
EXACT = 1e-6
GRADIENT = 1e-5


def check_cost(
    cost: Cost,
    space: SearchSpace,
    count: Count | None = None,
    *,
    data: DataSpec | None = None,
    seed: int = 0,
) -> None:
    """Check a cost against networks that are really built.

    It has a name and a unit. On one-hot weights it is what ``count`` finds on ``space.network``.
    Otherwise it is the expectation over genotypes, and its gradient that of the expectation:
    compared with the full sum where the space has at most 2000 combinations; in larger ones every
    decision that changes the cost must get a gradient.

    Args:
        cost: built for ``nas.space.blueprint(space)``.
        space: what it is a cost of; the smaller, the stricter the check.
        count: the exact cost of a built network; known for parameters, MACs and stored bytes.
        data: input shape; default: ``space.data``.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    with common.seeded(seed) as generator:
        for word in ("name", "unit"):
            text = getattr(cost, word, None)
            require(
                isinstance(text, str) and bool(text),
                f"a cost needs a {word}, as text; got {text!r}",
            )
        exact = count if count is not None else _usual_count(cost, space, data)
        slots = Supernet(blueprint(space)).decisions
        genotypes = common.covering_genotypes(space, generator)
        check_counts(cost, space, slots, genotypes, exact)
        if any(not decision.soft for decision in slots.values()):
            return
        if set(slots) == set(decisions_of(space)) and _combinations(space) <= LIMIT:
            Expectation(cost, space, slots, exact).check(generator)
        else:
            _check_effects(cost, slots, genotypes, generator)


def check_counts(
    cost: Cost,
    space: SearchSpace,
    slots: Mapping[str, Decision],
    genotypes: Sequence[Mapping[str, Choice]],
    count: Count,
) -> None:
    """Raise AssertionError unless the cost of one-hot weights is what ``count`` finds."""
    for genotype in genotypes:
        with attempting(f"the cost {cost.name!r} of {genotype}"):
            value = cost(from_genotype(slots, genotype))
        require(
            isinstance(value, Tensor) and value.shape == (),
            f"cost {cost.name!r} must return a tensor without axes, got {value!r}",
        )
        with attempting(f"counting {cost.name!r} on the network of {genotype}"):
            counted = float(count(space.network(genotype)))
        require(
            math.isclose(common.number(value), counted, rel_tol=EXACT, abs_tol=EXACT),
            f"cost {cost.name!r} says {common.number(value):g} {cost.unit} where the built network "
            f"has {counted:g}, for {genotype}",
        )


def _usual_count(cost: Cost, space: SearchSpace, data: DataSpec | None) -> Count:
    if cost.name == "params":
        return count_parameters
    if cost.name == "size_kb":
        return lambda network: count_bytes(network) / KB
    require(
        cost.name == "macs",
        f"check_cost needs count=..., the exact {cost.name!r} of a built network",
    )
    shape = common.data_of(space, data).input_shape
    return lambda network: count_macs(network, shape)


def _combinations(space: SearchSpace) -> int:
    decisions = decisions_of(space).values()
    return math.prod(math.comb(len(d), d.pick) ** d.groups for d in decisions)


@dataclass(frozen=True)
class Expectation:
    """The same expectation twice: by the cost, and as a sum over all combinations of choices."""

    cost: Cost
    space: SearchSpace
    slots: Mapping[str, Decision]
    count: Count

    def check(self, generator: torch.Generator) -> None:
        """Compare values and gradients, with all decisions given and without the optional ones."""
        counted = {
            _key(genotype): float(self.count(self.space.network(genotype)))
            for genotype in enumerate_genotypes(self.space)
        }
        optional = Supernet(blueprint(self.space)).optional
        for without in [frozenset[str](), optional] if optional else [frozenset[str]()]:
            logits = {
                name: torch.randn(
                    decision.groups, len(decision), generator=generator, dtype=torch.float64
                ).requires_grad_(name not in without)
                for name, decision in decisions_of(self.space).items()
            }
            if without:  # without weights all inputs of a node are equally likely
                logits.update({name: torch.zeros_like(logits[name]) for name in without})
            self._compare(logits, without, counted)

    def _compare(
        self,
        logits: Mapping[str, Tensor],
        without: frozenset[str],
        counted: Mapping[str, float],
    ) -> None:
        name = self.cost.name
        with attempting(f"the cost {name!r} under soft weights"):
            found = self.cost(self._arch(logits, without))
        truth = self._sum(logits, counted)
        require(
            math.isclose(common.number(found), common.number(truth), rel_tol=EXACT, abs_tol=EXACT),
            f"cost {name!r} expects {common.number(found):g} {self.cost.unit}, but the average "
            f"over all genotypes is {common.number(truth):g}",
        )
        wanted = {n: tensor for n, tensor in logits.items() if n not in without}
        gradients = _gradients(found, wanted), _gradients(truth, wanted)
        largest = max(float(g.abs().max()) for g in gradients[1].values())
        scale = max(largest, 1e-6 * abs(common.number(truth))) or 1.0
        for n in wanted:
            error = float((gradients[0][n] - gradients[1][n]).abs().max()) / scale
            zero = not gradients[0][n].any() and bool(
                gradients[1][n].abs().max() > GRADIENT * scale
            )
            reason = "is zero" if zero else f"is off by {error:.1e}"
            require(
                error <= GRADIENT,
                f"the gradient of cost {name!r} to the weights of {n!r} {reason} (relative), "
                "although the cost depends on them",
            )

    def _arch(self, logits: Mapping[str, Tensor], without: frozenset[str]) -> dict[str, Weights]:
        """Weights over the slots' candidates; those that no genotype takes get none."""
        arch: dict[str, Weights] = {}
        for name, decision in decisions_of(self.space).items():
            if name not in without:
                slot = self.slots[name]
                places = [slot.position(candidate) for candidate in decision.candidates]
                zeros = torch.zeros(decision.groups, len(slot), dtype=torch.float64)
                index = torch.tensor(places).expand(decision.groups, -1)
                values = zeros.scatter(-1, index, logits[name].softmax(-1))
                arch[name] = Weights(values, tuple(sorted(places)))
        return arch

    def _sum(self, logits: Mapping[str, Tensor], counted: Mapping[str, float]) -> Tensor:
        decisions = decisions_of(self.space)
        rows = [list(_chances(d, logits[name].softmax(-1))) for name, d in decisions.items()]
        total = torch.zeros((), dtype=torch.float64)
        for combination in product(*rows):
            choices = {n: choice for n, (choice, _) in zip(decisions, combination, strict=True)}
            chance = torch.stack([p for _, p in combination]).prod()
            total = total + chance * counted[_key(only_active(self.space, choices))]
        return total


def _chances(decision: Decision, values: Tensor) -> Iterator[tuple[Choice, Tensor]]:
    """Every choice of a decision with its probability; ``pick`` draws are without replacement."""
    candidates = range(len(decision))
    if decision.pick == 1:
        for row in product(candidates, repeat=decision.groups):
            chance = torch.stack([values[g, i] for g, i in enumerate(row)]).prod()
            yield decision.choice([[i] for i in row]), chance
        return
    found: dict[Choice, Tensor] = {}
    for order in permutations(candidates, decision.pick):
        chance, rest = values.new_ones(()), values.new_ones(())
        for i in order:
            chance, rest = chance * values[0, i] / rest, rest - values[0, i]
        choice = decision.choice([order])
        found[choice] = found.get(choice, values.new_zeros(())) + chance
    yield from found.items()


def _check_effects(
    cost: Cost,
    slots: Mapping[str, Decision],
    genotypes: Sequence[Mapping[str, Choice]],
    generator: torch.Generator,
) -> None:
    """Every decision whose change changes the cost gets a gradient."""
    arch, logits = common.open_arch(slots, generator, torch.float64)
    with attempting(f"the cost {cost.name!r} under soft weights"):
        gradients = _gradients(cost(arch), logits)
    for genotype in genotypes:
        base = float(cost(from_genotype(slots, genotype)))
        for name in genotype:
            if gradients[name].any():
                continue
            changed = {
                float(cost(from_genotype(slots, {**genotype, name: other})))
                for other in _other_choices(slots[name])
            }
            require(
                changed == {base},
                f"cost {cost.name!r} depends on decision {name!r}, but its gradient to it is zero",
            )


def _other_choices(decision: Decision) -> Iterator[Choice]:
    for shift in range(len(decision)):
        row = [(shift + i) % len(decision) for i in range(decision.pick)]
        yield decision.choice([row] * decision.groups)


def _gradients(value: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not value.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    found = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for (name, tensor), gradient in zip(tensors.items(), found, strict=True)
    }


def _key(genotype: Mapping[str, Choice]) -> str:
    return repr(sorted(genotype.items()))
