"""Operations of a blueprint and whole networks of its space, timed on this machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.costs.latency_table import Row
from nas.costs.units import Key, Shapes, Unit
from nas.errors import NasError
from nas.profile.backends import Backend, Run
from nas.profile.timing import Timing, interleaved

Pair = tuple[str, Shapes]  # operation and input shapes: what is measured once
Measured = Pair | int  # a pair, or the number of a whole network
Start = Callable[[int, str], Callable[[], None]]  # steps and what they do -> what tells each


@dataclass(frozen=True)
class Plan:
    """What is to be timed.

    Attributes:
        found: units of the blueprint.
        networks: whole networks, in eval mode.
        input_shape: of one input of those.
        batch: inputs of one forward pass.
    """

    found: Sequence[Unit]
    networks: Sequence[nn.Module]
    input_shape: Sequence[int]
    batch: int

    @property
    def pairs(self) -> dict[Pair, nn.Module]:
        """Each (operation, input shapes) once, with a module of it."""
        return {(u.operation, call): u.module for u in self.found for call in u.calls}


@dataclass(frozen=True)
class Times:
    """The outcome: a row of each unit and of each network, and what is to be known of them.

    Attributes:
        rows: of the units.
        networks: of the whole networks, in the plan's order.
        drift: of the reference, as a share; None for times that were given.
        rounds: readings of each; 1 for times that were given.
        reference: milliseconds of ``reference`` meanwhile; None for times that were given.
    """

    rows: Mapping[Key, Row]
    networks: Sequence[Row]
    drift: float | None
    rounds: int
    reference: float | None = None


def measure(
    plan: Plan, backend: Backend, rounds: int, limit: float, seed: int, start: Start
) -> Times:
    """Time all pairs and networks in turns; once more where the reference drifts.

    Args:
        plan: what.
        backend: how it runs.
        rounds: readings of each.
        limit: the drift, as a share, above which the whole is measured a second time; of two the
            steadier one counts.
        seed: of weights, inputs and orders.
        start: told how many steps there are.
    """
    generator = torch.Generator().manual_seed(seed)
    runs: dict[Measured, Run] = {}
    tell = start(len(plan.pairs) + len(plan.networks), "prepare")
    with torch.no_grad():
        for number, module, example in work(plan, generator):
            runs[number] = backend.prepare(module, example)
            tell()
        fixed = reference(generator)
    with torch.inference_mode():
        timing = interleaved(runs, fixed, rounds, seed=seed, tell=start(rounds, "measure"))
        if _drift(timing) > limit:
            again = interleaved(runs, fixed, rounds, seed=seed, tell=start(rounds, "again"))
            timing = min(timing, again, key=_drift)
    return times_of(plan, timing)


def _drift(timing: Timing[Measured]) -> float:
    return 0.0 if timing.drift is None else timing.drift


def work(plan: Plan, generator: torch.Generator) -> Iterator[tuple[Measured, nn.Module, Tensor]]:
    """What is timed, each with its module on the CPU in eval mode and an input (batch, ...).

    Raises NasError for an operation of several inputs.
    """
    for pair, module in plan.pairs.items():
        if len(pair[1]) != 1:
            raise NasError(
                f"{type(module).__name__} takes {len(pair[1])} tensors and cannot be timed alone; "
                "make it part of a module that takes one, or give its time by from=FILE.csv"
            )
        example = random_input((plan.batch, *pair[1][0]), generator)
        yield pair, materialized(module, generator), example
    whole = random_input((plan.batch, *plan.input_shape), generator)
    for number, network in enumerate(plan.networks):
        yield number, network.eval(), whole


def times_of(plan: Plan, timing: Timing[Measured]) -> Times:
    """The rows of units and networks from those of pairs: calls of a unit add up."""
    rows = {
        unit.key: _summed([timing.rows[unit.operation, call] for call in unit.calls])
        for unit in plan.found
    }
    networks = [timing.rows[number] for number in range(len(plan.networks))]
    return Times(rows, networks, timing.drift, timing.rounds, timing.reference)


def _summed(rows: Sequence[Row]) -> Row:
    return Row(sum(r.ms for r in rows), sum(r.low for r in rows), sum(r.high for r in rows))


def materialized(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of a module of the meta device, on the CPU in eval mode, freshly initialized."""
    real = copy.deepcopy(module).to_empty(device="cpu").eval()
    state = torch.get_rng_state()
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    try:
        for part in real.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            # Left as it is, memory may hold denormal numbers, which compute many times slower.
            for parameter in part.parameters(recurse=False):
                parameter.normal_(std=0.1)
            for buffer in part.buffers(recurse=False):
                buffer.zero_()
    finally:
        torch.set_rng_state(state)
    return real


def random_input(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator)


def reference(generator: torch.Generator) -> Run:
    """A fixed convolution of about half a millisecond: what tells how fast the machine is now."""
    x = random_input((1, 32, 32, 32), generator)
    conv = nn.Conv2d(32, 32, 3, padding=1, bias=False).eval()
    return lambda: conv(x)
