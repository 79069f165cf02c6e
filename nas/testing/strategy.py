"""The contract of an update rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nas.decision import Decision
from nas.policies import FreeLogits, Policy
from nas.relaxations import Gumbel, Softmax
from nas.strategies import Phase, Update
from nas.testing import common
from nas.testing.bench import (
    ARCHITECTURE_RATE,
    STEPS,
    WEIGHTS_RATE,
    Bench,
    MakeUpdate,
    Metrics,
    Rig,
)
from nas.testing.common import attempting, require
from nas.testing.policy import MakePolicy
from nas.testing.states import remembered, through_file
from nas.testing.toys import Edges, Planted
from nas.testing.unrolled import check_gradient

STREAMS = ("weights", "architecture")
EPOCHS = 3  # of the searches that are compared with each other


def check_strategy(
    make: MakeUpdate,
    *,
    space: Planted | None = None,
    make_policy: MakePolicy | None = None,
    partial_channels: int | None = None,
    edge_weights: bool = True,
    order: int | None = None,
    epochs: int = 16,
    seeds: Sequence[int] = (0,),
    least: int | None = None,
) -> None:
    """Check an update rule by short searches on a space whose best genotype is known.

    The phases make up the epochs and read no other data than the two streams of a search; the same
    seed gives the same genotype; a search saved at any step and loaded anew goes on bit for bit;
    architecture steps leave the weights alone and the reverse; the best genotype is found.

    Args:
        make: called as the ``update`` of a strategy file is: with ``supernet``, ``policy``,
            ``objective``, ``weights_optimizer``, ``architecture_optimizer``, ``autocast`` by name.
        space: with planted data; default: ``toys.Edges()``.
        make_policy: ``make_policy(decisions, seed)``; default: free logits, soft ones, and for the
            state sampled ones too.
        partial_channels: one part in so many channels is searched, as in a strategy file.
        edge_weights: whether the policy owns optional decisions, as in a strategy file.
        order: 1 or 2 also compares the gradient that the architecture's optimizer gets with the
            exact one, at the current weights or through one step of them.
        epochs: length of the searches for the best genotype.
        seeds: of these searches.
        least: how many of them must find it; default: all.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    planted = space if space is not None else Edges()
    policies = [make_policy] if make_policy is not None else [soft_logits, sampled_logits]
    benches = [Bench(planted, make, each, partial_channels, edge_weights) for each in policies]
    bench = benches[0]
    with common.seeded(0):
        _check_phases(bench)
        references = [_repeated(each) for each in benches]
        _check_separation(bench)
        if order is not None:
            check_gradient(bench, order)
        for each, reference in zip(benches, references, strict=True):
            stops = (STEPS + 1, 2 * STEPS) if each is bench else (STEPS + 1,)
            _check_resume(each, reference, stops)
        _check_optimum(bench, epochs, seeds, len(seeds) if least is None else least)


def soft_logits(decisions: Mapping[str, Decision], seed: int) -> Policy:
    """Free logits under a softmax."""
    return FreeLogits(decisions, Softmax(), seed=seed)


def sampled_logits(decisions: Mapping[str, Decision], seed: int) -> Policy:
    """Free logits of which one path is sampled: its generator is part of the state."""
    return FreeLogits(decisions, Gumbel(), seed=seed)


def _check_phases(bench: Bench) -> None:
    update = bench.rig(0).update
    require(
        isinstance(update, Update),
        f"{type(update).__name__} lacks phases(), state_dict() or load_state_dict()",
    )
    for epochs in (1, 2, 3, 10):
        with attempting(f"phases({epochs})"):
            phases = update.phases(epochs)
        total = sum(phase.epochs for phase in phases)
        require(
            total == epochs and all(phase.epochs > 0 for phase in phases),
            f"phases({epochs}) make up {total} epochs",
        )
        for phase in phases:
            _check_streams(phase)


def _check_streams(phase: Phase) -> None:
    require(bool(phase.streams), f"phase {phase.name!r} reads no data stream")
    for name in phase.streams:
        require(
            name != "test",
            f"phase {phase.name!r} reads the test split, which is for the last evaluation alone",
        )
        require(
            name in STREAMS,
            f"phase {phase.name!r} reads the stream {name!r}; a search has {', '.join(STREAMS)}",
        )


def _repeated(bench: Bench) -> tuple[Rig, Metrics]:
    """A short search and its metrics; a second one from the same seed ends in the same bits."""
    whole = bench.rig(0)
    metrics = whole.run(EPOCHS)
    again = bench.rig(0)
    require(
        again.run(EPOCHS) == metrics and again.digest() == whole.digest(),
        "the same seed gives two different searches; take all randomness from the seeded policy "
        "and the global generators",
    )
    require(again.genotype() == whole.genotype(), "the same seed gives two different genotypes")
    return whole, metrics


def _check_resume(bench: Bench, reference: tuple[Rig, Metrics], stops: Sequence[int]) -> None:
    """A search with a save in between, and one that goes on from it, end in the same bits."""
    whole, metrics = reference
    for stop in stops:
        first = bench.rig(0)
        before = first.run(EPOCHS, end=stop)
        state = through_file(first.update.state_dict(), "the update's state_dict()")
        put_back = remembered()
        after = first.run(EPOCHS, start=stop)
        require(
            before + after == metrics and first.digest() == whole.digest(),
            "saving the state changes the search that goes on",
        )
        second = bench.rig(1)  # nothing in common but what the state holds
        with attempting("loading the update's state"):
            second.update.load_state_dict(state)
        put_back()
        resumed = second.run(EPOCHS, start=stop)
        require(
            resumed == after and second.digest() == whole.digest(),
            f"a search saved after step {stop} of {EPOCHS * STEPS} and loaded goes on differently: "
            f"state_dict() does not hold everything ({_what_differs(second, whole)} differ); "
            "weights, policy with its generator, and both optimizers belong into it",
        )


def _what_differs(left: Rig, right: Rig) -> str:
    ours, theirs = left.digest(), right.digest()
    return " and ".join(name for name in ours if ours[name] != theirs[name]) or "metrics"


def _check_separation(bench: Bench) -> None:
    """What moves the weights leaves the architecture alone, and the reverse."""
    still = bench.rig(0, weights_rate=0.0)
    start, logits = still.weights(), still.logits()
    still.run(EPOCHS)
    require(
        _same(start, still.weights()),
        "the weights move although their optimizer's learning rate is 0: something else "
        "writes to them",
    )
    require(
        not logits or not _same(logits, still.logits()),
        "a whole search leaves the policy as it was",
    )
    still = bench.rig(0, architecture_rate=0.0)
    start, logits = still.weights(), still.logits()
    still.run(EPOCHS)
    require(
        _same(logits, still.logits()),
        "the policy moves although its optimizer's learning rate is 0: something else writes to it",
    )
    require(not _same(start, still.weights()), "a whole search leaves the weights as they were")
    for position in bench.rig(0).positions(EPOCHS):
        if position.step == 0 and set(STREAMS) <= set(position.phase.streams):
            _check_data(bench, position.epoch)
            break
    _check_named_steps(bench)


def _check_data(bench: Bench, epoch: int) -> None:
    """Each half learns from the stream of its name alone."""
    start = epoch * STEPS
    for varied, weights_rate, architecture_rate, read in (
        ("architecture", WEIGHTS_RATE, 0.0, Rig.weights),
        ("weights", 0.0, ARCHITECTURE_RATE, Rig.logits),
    ):
        found = []
        for variant in (0, 1):
            rig = bench.rig(0, weights_rate=weights_rate, architecture_rate=architecture_rate)
            rig.run(EPOCHS, start=start, end=start + 3, vary={varied: variant})
            found.append(read(rig))
        other = "weights" if varied == "architecture" else "policy"
        require(
            _same(*found),
            f"the {other} learn from the {varied} data: with other {varied} batches they move "
            "elsewhere although the other half stands still; do gradients of one step "
            "leak into the next?",
        )


def _check_named_steps(bench: Bench) -> None:
    """Where an update has the two steps as methods, each moves its own half alone."""
    rig = bench.rig(0)
    train, held_out = (bench.batch(0, name, 0, 0) for name in STREAMS)
    if hasattr(rig.update, "architecture_step"):
        before = rig.weights()
        with attempting("architecture_step()"):
            rig.update.architecture_step(train, held_out)
        require(_same(before, rig.weights()), "an architecture step moves weights")
    if hasattr(rig.update, "weights_step"):
        logits = rig.logits()
        with attempting("weights_step()"):
            rig.update.weights_step(train)
        require(_same(logits, rig.logits()), "a weight step moves the policy")


def _check_optimum(bench: Bench, epochs: int, seeds: Sequence[int], least: int) -> None:
    found = []
    for seed in seeds:
        rig = bench.rig(seed)
        rig.run(epochs)
        found.append(rig.genotype())
    best = dict(bench.space.best)
    hits = sum(genotype == best for genotype in found)
    wrong = next((genotype for genotype in found if genotype != best), None)
    require(
        hits >= least,
        f"the best genotype {best} is found with {hits} of {len(seeds)} seeds in {epochs} epochs, "
        f"{least} are needed; one search ended in {wrong}",
    )


def _same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)
