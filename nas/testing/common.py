"""What all checks share: one way to fail, seeds, random inputs and random architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.arch import Weights, k_hot
from nas.dataspec import DataSpec
from nas.decision import Choice, Decision
from nas.space import SearchSpace, decisions_of, only_active
from nas.tasks import Classification, Task
from nas.testing.states import remembered, seed_all

Loss = Callable[[Any, Any], Tensor]
BATCH = 4
NO_DATA = (3, 8, 8)  # input shape for a space that does not say what it is for
ROUNDS = 200  # genotypes looked at until every candidate was in one


def require(condition: bool, sentence: str) -> None:
    """Raise AssertionError with ``sentence`` unless ``condition`` holds; unlike assert, always."""
    if not condition:
        raise AssertionError(sentence)


@contextmanager
def attempting(what: str) -> Iterator[None]:
    """Turn any exception but AssertionError into an AssertionError saying that ``what`` failed."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or "no message"
        raise AssertionError(f"{what} failed with {type(error).__name__}: {text}") from error


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Give a generator; the global ones are seeded inside and put back afterwards."""
    put_back = remembered()
    seed_all(seed)
    try:
        yield torch.Generator().manual_seed(seed)
    finally:
        put_back()


def data_of(space: SearchSpace, data: DataSpec | None) -> DataSpec:
    """``data`` if given, else the space's own, else small RGB images in the classes it has."""
    own = data if data is not None else getattr(space, "data", None)
    if isinstance(own, DataSpec):
        return own
    with attempting(f"a forward on inputs of shape {NO_DATA} (give data=DataSpec(...) for others)"):
        genotype = random_genotype(space, torch.Generator().manual_seed(0))
        output = space.network(genotype)(torch.zeros(BATCH, *NO_DATA))
    return DataSpec(NO_DATA, "classes", output.shape[1])


def loss_of(data: DataSpec, task: Task | None) -> Loss:
    """The task's loss; without a task the usual one for the kind of data."""
    if task is not None:
        return task.loss
    if data.kind == "classes":
        return Classification().loss
    if data.kind == "multi-label":
        return functional.binary_cross_entropy_with_logits
    return functional.cross_entropy if data.kind == "dense" else functional.mse_loss


def inputs_for(data: DataSpec, generator: torch.Generator, count: int = BATCH) -> Tensor:
    """Random inputs (count, C, ...)."""
    return torch.randn(count, *data.input_shape, generator=generator)


def targets_for(data: DataSpec, output: Tensor, generator: torch.Generator) -> Tensor:
    """Random targets of the kind of ``data`` for an output (N, outputs, ...)."""
    if data.kind in ("classes", "dense"):
        shape = (output.shape[0], *output.shape[2:])
        return torch.randint(data.outputs, shape, generator=generator)
    if data.kind == "multi-label":
        return torch.randint(2, output.shape, generator=generator).to(output.dtype)
    return torch.rand(output.shape, generator=generator, dtype=output.dtype)


def random_genotype(space: SearchSpace, generator: torch.Generator) -> dict[str, Choice]:
    """A genotype of active decisions, uniform over candidates."""
    return covering_genotypes(space, generator, limit=1)[0]


def covering_genotypes(
    space: SearchSpace, generator: torch.Generator, limit: int = ROUNDS
) -> list[dict[str, Choice]]:
    """Genotypes that together hold every candidate of every decision, as far as ``limit`` allows.

    Each takes the candidates that were taken least so far, at random among equals; one in which
    inactive decisions hid all that is new is left out.
    """
    decisions = decisions_of(space)
    taken = {name: [0] * len(decision) for name, decision in decisions.items()}
    found: list[dict[str, Choice]] = []
    for _ in range(limit):
        choices = {
            name: decision.choice(
                [_least(taken[name], decision, generator) for _ in range(decision.groups)]
            )
            for name, decision in decisions.items()
        }
        genotype = only_active(space, choices)
        new = False
        for name, choice in genotype.items():
            for index in {i for row in decisions[name].positions(choice) for i in row}:
                new = new or not taken[name][index]
                taken[name][index] += 1
        if new or not found:
            found.append(genotype)
        if all(min(counts) for counts in taken.values()):
            break
    return found


def _least(taken: list[int], decision: Decision, generator: torch.Generator) -> list[int]:
    order = torch.randperm(len(decision), generator=generator).tolist()
    return sorted(sorted(order, key=lambda index: taken[index])[: decision.pick])


def open_arch(
    decisions: Mapping[str, Decision], generator: torch.Generator, dtype: torch.dtype
) -> tuple[dict[str, Weights], dict[str, Tensor]]:
    """Random weights with every candidate live, and the logits (groups, n) they are the softmax of.

    Hard decisions get one-hot weights and no logits.
    """
    arch: dict[str, Weights] = {}
    logits: dict[str, Tensor] = {}
    for name, decision in decisions.items():
        shape = (decision.groups, len(decision))
        drawn = torch.randn(shape, generator=generator, dtype=dtype)
        if decision.soft:
            logits[name] = drawn.requires_grad_()
            arch[name] = Weights(logits[name].softmax(-1), tuple(range(len(decision))))
        else:
            arch[name] = k_hot(decision, drawn.topk(decision.pick).indices.tolist(), drawn)
    return arch, logits


def disturb(net: nn.Module, generator: torch.Generator) -> None:
    """Add noise to all weights, so that no initial zero or one hides a difference."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def number(value: Tensor) -> float:
    """The value of a tensor without axes."""
    return float(value.detach())


def difference(left: Tensor, right: Tensor) -> float:
    """Largest difference, relative to the size of ``right``; inf if the shapes differ."""
    if left.shape != right.shape:
        return float("inf")
    if not left.numel():
        return 0.0
    scale = float(right.detach().abs().max()) or 1.0
    return float((left.detach() - right.detach()).abs().max()) / scale
