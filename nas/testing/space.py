"""The contract of a search space."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas import genotype as files
from nas.arch import Arch, detach, from_genotype
from nas.costs import (
    KB,
    Macs,
    Parameters,
    Size,
    count_bytes,
    count_macs,
    count_parameters,
)
from nas.dataspec import DataSpec
from nas.decision import Choice, Decision
from nas.space import (
    SearchSpace,
    blueprint,
    check_genotype,
    decisions_of,
    discretize,
    enumerate_genotypes,
    fingerprint,
    name_of,
    size,
)
from nas.supernet import Slot, Supernet
from nas.tasks import Task
from nas.testing import common
from nas.testing.common import attempting, require
from nas.testing.cost import check_counts
from nas.testing.draws import EqualDraws
from nas.testing.forms import check_exported, check_fused

SMALL = 5000  # combinations up to which size() is compared with an enumeration
SAME = 1e-5  # largest relative difference between a supernet and its frozen network, float32
NOT_SOFT = "a decision that needs one value must say soft=False"
TRIES = 3  # inputs and weights tried before a gradient is called zero

Genotypes = Sequence[dict[str, Choice]]


def check_space(
    space: SearchSpace,
    data: DataSpec | None = None,
    *,
    task: Task | None = None,
    others: Iterable[SearchSpace] = (),
    samples: int = 3,
    seed: int = 0,
) -> None:
    """Check a search space against everything that strategies, costs and files rely on.

    ``checks_of_space`` says what is checked, one by one.

    Args:
        space: what to check.
        data: what it is for; default: ``space.data``, else small RGB images.
        task: gives the loss; default: the usual one for the kind of data.
        others: spaces that must not share its fingerprint.
        samples: genotypes of which networks are run.
        seed: of everything random.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    for _ in checks_of_space(space, data, task=task, others=others, samples=samples, seed=seed):
        pass


def checks_of_space(
    space: SearchSpace,
    data: DataSpec | None = None,
    *,
    task: Task | None = None,
    others: Iterable[SearchSpace] = (),
    samples: int = 3,
    seed: int = 0,
) -> Iterator[str]:
    """The checks of ``check_space``: what each is about, in turn, just before it runs.

    Takes the same arguments, and raises the same AssertionError when the next one is asked for.
    """
    with common.seeded(seed) as generator:
        yield "decisions survive JSON and do not change"
        _check_decisions(space)
        genotypes = common.covering_genotypes(space, generator)
        spec = common.data_of(space, data)
        trial = Trial(space, spec, common.loss_of(spec, task), generator)
        yield "genotypes survive their file"
        _check_files(space, genotypes)
        yield "its fingerprint is its own"
        _check_fingerprints(space, others)
        yield "size() is the number of genotypes, where they can be counted"
        _check_size(space)
        yield "networks of genotypes fit the data and learn"
        for genotype in genotypes[:samples]:
            trial.check_network(genotype)
        yield "the weights of a genotype derive that genotype"
        trial.check_derivation(genotypes)
        yield "the supernet under a genotype equals its frozen network"
        trial.check_frozen(genotypes[:samples])
        yield "every soft decision gets a gradient from the loss"
        trial.check_gradients()
        yield "parameters and MACs are those of the built networks, for every candidate"
        _check_costs(space, spec, genotypes)
        yield "the supernet computes the same fused and plain, in double precision"
        check_fused(space, trial.inputs(), generator)
        yield "a network can be exported by torch.export"
        check_exported(space, genotypes[-1], trial.inputs())


def _check_decisions(space: SearchSpace) -> None:
    with attempting("collecting the space's decisions"):
        decisions = decisions_of(space)
    require(bool(decisions), "the space has no decision: there is nothing to search")
    for name, decision in decisions.items():
        require(
            name == decision.name, f"decision {decision.name!r} is listed under the name {name!r}"
        )
        copy = Decision.from_json(json.loads(json.dumps(decision.to_json())))
        require(copy == decision, f"decision {name!r} does not survive JSON")
    require(
        decisions_of(space) == decisions,
        "the space's decisions change from call to call; they must be fixed by its arguments",
    )


def _check_files(space: SearchSpace, genotypes: Genotypes) -> None:
    for genotype in genotypes:
        with attempting("checking a random genotype against its own space"):
            canonical = check_genotype(space, genotype)
            file = files.make(name_of(space), fingerprint(space), genotype)
            read = check_genotype(space, files.loads(files.dumps(file)).choices)
        require(
            read == canonical, f"a genotype does not survive its file: {canonical} became {read}"
        )


def _check_fingerprints(space: SearchSpace, others: Iterable[SearchSpace]) -> None:
    own = fingerprint(space)
    require(own == fingerprint(space), "the space's fingerprint changes from call to call")
    for other in others:
        if other is not space:
            require(
                own != fingerprint(other),
                f"{type(space).__name__} and {type(other).__name__} share the fingerprint {own}: a "
                "genotype of one would be taken for the other's; give them different names",
            )


def _check_size(space: SearchSpace) -> None:
    decisions = decisions_of(space).values()
    if math.prod(math.comb(len(d), d.pick) ** d.groups for d in decisions) > SMALL:
        return
    with attempting("counting the genotypes"):
        told, every = size(space), enumerate_genotypes(space)
    require(told == len(every), f"size() says {told}, but there are {len(every)} genotypes")
    for genotype in every:
        with attempting("checking an enumerated genotype"):
            check_genotype(space, genotype)


def _check_costs(space: SearchSpace, data: DataSpec, genotypes: Genotypes) -> None:
    with attempting("counting parameters and stored bytes on the blueprint"):
        plan = blueprint(space)
        parameters, size = Parameters(plan), Size(plan)
    slots = Supernet(plan).decisions
    check_counts(parameters, space, slots, genotypes, count_parameters)
    check_counts(size, space, slots, genotypes, lambda n: count_bytes(n) / KB)
    if all(decision.soft for decision in slots.values()):
        with attempting("counting MACs on the blueprint"):
            macs = Macs(plan, data.input_shape)
        check_counts(macs, space, slots, genotypes, lambda n: count_macs(n, data.input_shape))


@dataclass(frozen=True)
class Trial:
    """A space with what is needed to run its networks."""

    space: SearchSpace
    data: DataSpec
    loss: common.Loss
    generator: torch.Generator

    def inputs(self) -> Tensor:
        """A batch of random inputs."""
        return common.inputs_for(self.data, self.generator)

    def loss_on(self, output: Tensor) -> Tensor:
        """The loss against random targets."""
        return self.loss(output, common.targets_for(self.data, output, self.generator))

    def supernet(self) -> Supernet:
        """A supernet whose weights and statistics are no longer the initial ones."""
        with attempting(f"building and running the supernet under soft weights ({NOT_SOFT})"):
            supernet = Supernet(self.space.supernet())
            common.disturb(supernet, self.generator)
            arch, _ = common.open_arch(supernet.decisions, self.generator, torch.float32)
            with torch.no_grad():
                supernet(self.inputs(), arch)
        return supernet

    def check_network(self, genotype: dict[str, Choice]) -> None:
        """A genotype's network runs, fits the data, learns, and holds nothing of the search."""
        with attempting(f"building the network of {genotype}"):
            network = self.space.network(genotype)
        left = [name for name, module in network.named_modules() if isinstance(module, Slot)]
        require(not left, f"network() leaves a slot of the search at {left[:1]}; build it plain")
        with attempting(f"training the network of {genotype} for one step"):
            output = network(self.inputs())
            self._check_output(output)
            loss = self.loss_on(output)
            torch.autograd.backward(loss)
        require(
            bool(loss.isfinite()),
            f"the loss of a fresh network is {common.number(loss)} for {genotype}",
        )
        with attempting(f"evaluating the network of {genotype}"), torch.no_grad():
            self._check_output(network.eval()(self.inputs()))

    def _check_output(self, output: Tensor) -> None:
        require(isinstance(output, Tensor), f"a network returns {type(output).__name__}, no tensor")
        wanted = (common.BATCH, self.data.outputs, *self.data.output_size)
        require(
            tuple(output.shape) == wanted,
            f"for {self.data.kind} a network's output must have the shape {wanted}, got "
            f"{tuple(output.shape)}",
        )
        require(bool(output.isfinite().all()), "a fresh network's output is not finite")

    def check_derivation(self, genotypes: Genotypes) -> None:
        """One-hot weights derive their genotype, and any weights derive a valid one."""
        slots = Supernet(self.space.supernet()).decisions
        for genotype in genotypes:
            for decisions in (decisions_of(self.space), slots):
                with attempting(f"deriving the genotype of its own weights, {genotype}"):
                    found = discretize(self.space, from_genotype(decisions, genotype))
                require(
                    found == genotype,
                    f"the one-hot weights of {genotype} derive another genotype, {found}",
                )
        with attempting("deriving a genotype from soft weights"):
            arch, _ = common.open_arch(slots, self.generator, torch.float32)
            check_genotype(self.space, discretize(self.space, detach(arch)))

    def check_frozen(self, genotypes: Genotypes) -> None:
        """The supernet under one-hot weights computes what its frozen network computes."""
        supernet = self.supernet().eval()
        inputs = self.inputs()
        for genotype in genotypes:
            arch = from_genotype(supernet.decisions, genotype, like=inputs)
            with (
                attempting(f"running the supernet under {genotype}"),
                torch.no_grad(),
                EqualDraws(),
            ):
                expected = supernet(inputs, arch)
            with attempting(f"freezing the supernet under {genotype}"):
                network = supernet.freeze(arch).eval()
            self._check_plain(network, supernet)
            supernet.bind({})
            with attempting("running the frozen network"), torch.no_grad(), EqualDraws():
                self._compare(network(inputs), expected, "its frozen network", genotype)
            self._check_transferred(network, inputs, expected, genotype)

    def _check_plain(self, network: nn.Module, supernet: Supernet) -> None:
        left = [name for name, module in network.named_modules() if isinstance(module, Slot)]
        require(
            not left, f"the frozen network still holds a slot at {left[:1]}; freeze() is incomplete"
        )
        shared = {p.data_ptr() for p in network.parameters() if p.numel()} & {
            p.data_ptr() for p in supernet.parameters()
        }
        require(
            not shared, "the frozen network shares weights with the supernet; freeze() must copy"
        )

    def _check_transferred(
        self, frozen: nn.Module, inputs: Tensor, expected: Tensor, genotype: dict[str, Choice]
    ) -> None:
        """Where the searched weights fit into ``network(genotype)``, it must compute the same."""
        network = self.space.network(genotype).eval()
        shapes = [
            {name: tensor.shape for name, tensor in net.named_parameters()}
            for net in (network, frozen)
        ]
        weights = frozen.state_dict()
        if shapes[0] == shapes[1] and network.state_dict().keys() <= weights.keys():
            network.load_state_dict(weights, strict=False)
            with torch.no_grad(), EqualDraws():
                self._compare(
                    network(inputs), expected, "network(genotype) with its weights", genotype
                )

    @staticmethod
    def _compare(found: Tensor, expected: Tensor, what: str, genotype: dict[str, Choice]) -> None:
        error = common.difference(found, expected)
        require(
            error <= SAME,
            f"the supernet under one-hot weights and {what} differ by {error:.1e} (relative) for "
            f"{genotype}",
        )

    def check_gradients(self) -> None:
        """Every soft decision of a slot gets a gradient, with the optional ones bound or not."""
        supernet = self.supernet()
        self._check_gradients(supernet, set())
        if supernet.optional:
            self._check_gradients(supernet, set(supernet.optional))

    def _check_gradients(self, supernet: Supernet, without: set[str]) -> None:
        decisions = {n: d for n, d in supernet.decisions.items() if n not in without}
        largest = {n: torch.zeros(d.groups) for n, d in decisions.items() if d.soft}
        for _ in range(TRIES if largest else 0):
            arch, logits = common.open_arch(decisions, self.generator, torch.float32)
            loss = self._soft_loss(supernet, arch, without)
            if not loss.requires_grad:
                continue
            wanted = [logits[name] for name in largest]
            found = torch.autograd.grad(loss, wanted, allow_unused=True)
            for name, gradient in zip(largest, found, strict=True):
                if gradient is not None:
                    largest[name] = torch.maximum(largest[name], gradient.abs().amax(-1))
        for name, size_of in largest.items():
            read = name in supernet.realised()
            dead = [group for group, value in enumerate(size_of.tolist()) if value == 0]
            reason = "no forward reads it" if not read else f"group {dead[:1]} has no effect"
            require(
                not dead,
                f"decision {name!r} never gets a gradient from the loss: {reason}; a search could "
                "not learn it",
            )

    def _soft_loss(self, supernet: Supernet, arch: Arch, without: set[str]) -> Tensor:
        extra = f" without {sorted(without)[0]!r}" if without else ""
        with attempting(f"running the supernet under soft weights{extra} ({NOT_SOFT})"):
            return self.loss_on(supernet(self.inputs(), arch))
