"""Update rules, costs and tasks with one fault each, for the contracts to find."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch, Weights
from nas.batch import Batch
from nas.cost_tree import CostNode, add
from nas.costs import Parameters
from nas.dataspec import DataSpec
from nas.gradients import Orthogonal, Transformed
from nas.searchable import MixedOp, Node
from nas.space import SearchSpace, blueprint
from nas.strategies import Bilevel, Phase, Reinforce, SinglePath
from nas.tasks import Classification


class ForgetsOptimizer(Bilevel):
    """The momentum of the weights is lost."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "weights_optimizer": None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.weights_optimizer.state_dict()
        super().load_state_dict({**state, "weights_optimizer": own})


class ForgetsMoments(Bilevel):
    """The moments of the architecture's optimizer are lost."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.architecture_optimizer.state_dict()
        super().load_state_dict({**state, "architecture_optimizer": own})


class ForgetsGenerator(Bilevel):
    """Of the policy only the logits are kept."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.policy.state_dict()["_extra_state"]
        super().load_state_dict({**state, "policy": {**state["policy"], "_extra_state": own}})


class ForgetsBuffers(Bilevel):
    """The statistics of batch normalization are lost."""

    def state_dict(self) -> dict[str, Any]:
        weights = {name: p.detach().clone() for name, p in self.supernet.net.named_parameters()}
        return {**super().state_dict(), "supernet": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        all_of_it = {**self.supernet.net.state_dict(), **state["supernet"]}
        super().load_state_dict({**state, "supernet": all_of_it})


class ForgetsPaths(SinglePath):
    """Where its policy's generator stood is lost."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({**state, "policy": self.policy.state_dict()})


class ForgetsProjectors(Orthogonal):
    """What layers have read is lost."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({**state, "banks": self.state_dict()["banks"]})


def forgets_projectors(**parts: Any) -> Transformed:
    transform = ForgetsProjectors(parts["supernet"], parts["weights_optimizer"], 10)
    return Transformed(SinglePath(**parts), {"dinas": transform})


class AscendsPaths(SinglePath):
    """Makes the loss of every path larger."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        for group in self.weights_optimizer.param_groups:
            group["maximize"] = True


class ForgetsBaseline(Reinforce):
    """What rewards are compared with is lost."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "averages": {}}


class LearnsOnOneBatch(Reinforce):
    """The policy learns from training data."""

    def step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        return super().step(train, train)


class DescendsRewards(Reinforce):
    """Makes what is rewarded less likely."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        for group in self.architecture_optimizer.param_groups:
            group["maximize"] = True


class Disturbed(Bilevel):
    """Saving draws a sample."""

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        self.policy()
        return state


class SavesItself(Bilevel):
    """A state that a checkpoint cannot load without trust."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "weights_step": Bilevel}


class Unseeded(Bilevel):
    """Learning rates from nowhere."""

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        for group in self.weights_optimizer.param_groups:
            group["lr"] *= 1 - 0.1 * random.SystemRandom().random()
        return super().weights_step(train)


class MovesWeights(Bilevel):
    """Its architecture step takes both optimizers."""

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        super().weights_step(held_out)
        return super().architecture_step(train, held_out)


class TakesTwoSteps(Bilevel):
    """Its architecture step also trains the weights, on their own data."""

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        super().weights_step(train)
        return super().architecture_step(train, held_out)


class LeaksGradients(Bilevel):
    """Leaves the architecture step's gradients in the weights, and adds the next ones to them."""

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        found = super().architecture_step(train, held_out)
        output = self.supernet(held_out.inputs, self.policy().detach().arch)
        self._leaked = torch.autograd.grad(
            self.objective.task.loss(output, held_out.targets),
            list(self.supernet.parameters()),
            allow_unused=True,
        )
        self.transforms = (self._add,)
        return found

    def _add(self) -> None:
        for parameter, gradient in zip(self.supernet.parameters(), self._leaked, strict=True):
            if parameter.grad is not None and gradient is not None:
                parameter.grad += gradient


class DecaysWeights(Bilevel):
    """Shrinks the weights past their optimizer."""

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        found = super().weights_step(train)
        with torch.no_grad():
            for parameter in self.supernet.parameters():
                parameter.mul_(0.999)
        return found


class DecaysPolicy(Bilevel):
    """Shrinks the logits past their optimizer."""

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        found = super().weights_step(train)
        with torch.no_grad():
            for parameter in self.policy.parameters():
                parameter.mul_(0.999)
        return found


class LearnsOnTraining(Bilevel):
    """The policy learns from the weights' data."""

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        return super().architecture_step(held_out, train)


class NoMomentum(Bilevel):
    """Second order that leaves the momentum out of the look-ahead."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts, order=2)

    def _sgd(self, weights: Sequence[Tensor]) -> Any:
        found = super()._sgd(weights)
        return type(found)(found.learning_rate, 0.0, found.weight_decay, found.buffers)


class ReadsTest(Bilevel):
    """Searches on the test split."""

    def phases(self, epochs: int) -> Sequence[Phase]:
        return [Phase("search", epochs, ("weights", "test"), self.step)]


class Short(Bilevel):
    """Phases that do not make up the epochs."""

    def phases(self, epochs: int) -> Sequence[Phase]:
        return super().phases(max(1, epochs - 1))


class Ascends(Bilevel):
    """Looks for the worst architecture."""

    def _architecture_loss(self, *arguments: Any) -> Tensor:
        return -super()._architecture_loss(*arguments)


class Stands(Bilevel):
    """Never touches the policy."""

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        return {}


class HoldsGraph(Bilevel):
    """Returns metrics that keep the graph alive."""

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        found = super().weights_step(train)
        weight = next(self.supernet.parameters())
        return {**found, "norm": weight.square().sum()}


# costs


class AllEdges(Node):
    """A node that costs the sum of all its edges."""

    def cost(self, visit: Any) -> CostNode:
        return add([visit(edge) for edge in self.edges])


def cost_of_all_edges(space: SearchSpace) -> Parameters:
    net = blueprint(space)
    for module in net.modules():
        if isinstance(module, Node):
            module.__class__ = AllEdges
    return Parameters(net)


def cost_of_first(space: SearchSpace) -> Parameters:
    """Counts the first candidate of every decision."""
    net = blueprint(space)
    for module in net.modules():
        if isinstance(module, MixedOp):
            for op in list(module.ops.values())[1:]:
                op[1] = nn.Identity()
    return Parameters(net)


class Wrapped:
    """A cost with a fault around a good one."""

    name, unit = "params", "parameters"

    def __init__(self, space: SearchSpace) -> None:
        self.inner = Parameters(blueprint(space))

    def __call__(self, arch: Arch) -> Tensor:
        return self.inner(arch)


class NoUnit(Wrapped):
    unit = ""


class Detached(Wrapped):
    def __call__(self, arch: Arch) -> Tensor:
        return self.inner(arch).detach()


class Vector(Wrapped):
    def __call__(self, arch: Arch) -> Tensor:
        return self.inner(arch)[None]


class Likeliest(Wrapped):
    """The cost of the likeliest genotype instead of an expectation."""

    def __call__(self, arch: Arch) -> Tensor:
        sharp = {
            name: Weights((1000 * w.values).softmax(-1), w.live) if len(w.live) > 2 else w
            for name, w in arch.items()
            if isinstance(w, Weights)
        }
        return self.inner(sharp)


class Unknown(Wrapped):
    name, unit = "latency", "ms"


# tasks


class Faulty:
    """A task with a fault in front of a good one."""

    def __init__(self) -> None:
        self.inner = Classification()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class SumLoss(Faulty):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target, reduction="sum")


class Unlearnable(Faulty):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) != target).float().mean()


class WrongWay(Faulty):
    higher_is_better: Mapping[str, bool] = {"accuracy": False}


class NoPrimary(Faulty):
    primary = "error"


class OtherMetrics(Faulty):
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"top1": self.inner.metrics(output, target)["accuracy"]}


class CountMetric(Faulty):
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": self.inner.metrics(output, target)["accuracy"] * len(target)}


class GraphMetric(Faulty):
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": output.softmax(1).gather(1, target[:, None]).mean()}


class WrongRefusal(Faulty):
    def check(self, spec: DataSpec) -> None:
        if spec.kind != "classes":
            raise ValueError("no")


class RefusesAll(Faulty):
    def check(self, spec: DataSpec) -> None:
        self.inner.check(DataSpec((1, 2), "image", 1))
