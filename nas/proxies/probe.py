"""A network, a batch and a loss to be probed: on a copy, by passes that several proxies share."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.errors import NasError
from nas.searchable import set_execution

Loss = Callable[[Any, Any], Tensor]
_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)
_BY_BATCH = nn.modules.batchnorm._NormBase


@dataclass(frozen=True)
class Pass:
    """What one forward and backward pass of the loss leaves.

    Attributes:
        gradients: of the loss, one for each of ``Probe.weights`` and of its shape.
        outputs: (N, C, ...) of every call of the layers that hold them.
        output_gradients: of the loss by those outputs.
    """

    gradients: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    output_gradients: tuple[Tensor, ...]


class Probe:
    """A copy of a network that proxies may run and change; the network itself is never run.

    The copy runs plain, its normalizations by the statistics of the batch as in training, all else
    as in evaluation: no dropout, no auxiliary head. It is as its initialization left it.

    Args:
        net: a derived network, or any module without slots that are bound.
        batch: inputs (N, ...) as one tensor, targets as ``loss`` takes them.
        loss: from outputs and targets to the mean loss over the batch, such as ``Task.loss``.

    Raises:
        NasError: the inputs are no tensor of at least two samples, or the network has no weights.
    """

    def __init__(self, net: nn.Module, batch: Batch, loss: Loss) -> None:
        if not isinstance(batch.inputs, Tensor) or len(batch.inputs) < 2:
            given = type(batch.inputs).__name__
            shape = tuple(getattr(batch.inputs, "shape", ()))
            raise NasError(
                f"proxies need inputs that are one tensor of two samples or more, got a {given} "
                f"of shape {shape}; give a larger batch"
            )
        self.net, self.loss = deepcopy(net), loss
        self.inputs, self.targets = batch.inputs.detach(), batch.targets
        set_execution(self.net, None)
        self.net.eval()
        for part in self.net.modules():
            if isinstance(part, _BY_BATCH):
                part.train()
            if getattr(part, "inplace", False):
                part.__dict__["inplace"] = False  # outputs that are looked at later must stay
        for parameter in self.net.parameters():
            parameter.requires_grad_(True).grad = None
        self.layers = weighted(self.net)
        if not self.layers:
            raise NasError("proxies need a network with a convolution or linear layer; it has none")

    @property
    def weights(self) -> list[Tensor]:
        """The weights of all convolutions and linear layers, biases left out."""
        return [layer.weight for layer in self.layers]

    @cached_property
    def first(self) -> Pass:
        """Gradients and outputs of one pass."""
        outputs: list[Tensor] = []
        handles = [
            layer.register_forward_hook(lambda module, given, output: outputs.append(output))
            for layer in self.layers
        ]
        try:
            with torch.enable_grad():
                loss = self.loss(self.net(self.inputs), self.targets)
        finally:
            for handle in handles:
                handle.remove()
        weights = self.weights
        found = gradients(loss, [*weights, *outputs])
        kept = tuple(output.detach() for output in outputs)
        return Pass(tuple(found[: len(weights)]), kept, tuple(found[len(weights) :]))

    @cached_property
    def jacobian(self) -> Tensor:
        """(N, inputs) float64: the gradient of the sum of all outputs by each input."""
        inputs = self.inputs.clone().requires_grad_(True)
        with torch.enable_grad():
            output = self.net(inputs)
            if not isinstance(output, Tensor):
                raise NasError(
                    f"jacov and epe_nas need one tensor of outputs, got a {type(output).__name__}; "
                    "leave these proxies out"
                )
            (found,) = gradients(output.sum(), [inputs])
        return found.flatten(1).double()


def weighted(net: nn.Module) -> list[Any]:
    """The convolutions and linear layers of a network whose weight is a parameter."""
    return [
        part
        for part in net.modules()
        if isinstance(part, _WEIGHTED) and part._parameters.get("weight") is not None
    ]


def gradients(scalar: Tensor, of: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """The gradient of a scalar by each tensor; zeros where it does not depend on it."""
    if not scalar.requires_grad:
        return [torch.zeros_like(tensor) for tensor in of]
    found = torch.autograd.grad(scalar, of, create_graph=create_graph, allow_unused=True)
    return [
        torch.zeros_like(one) if gradient is None else gradient
        for one, gradient in zip(of, found, strict=True)
    ]
