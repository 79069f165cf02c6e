"""Other forms of a space's networks: fused execution and a ``torch.export`` program."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.export import Dim

from nas.arch import Weights
from nas.decision import Choice
from nas.kernels import Kernels, portable_kernels
from nas.searchable import set_execution
from nas.space import SearchSpace
from nas.supernet import Supernet
from nas.testing import common
from nas.testing.common import attempting, require
from nas.testing.draws import EqualDraws

DOUBLE = 1e-9  # largest relative difference between fused and plain, float64
EXPORTED = 1e-5  # between a network and its program, float32


def check_fused(space: SearchSpace, inputs: Tensor, generator: torch.Generator) -> None:
    """Fused execution gives the outputs and the gradients of plain modules, in double precision.

    Compared while training and in evaluation, on ``inputs`` (N, C, ...) under random weights with
    every candidate live. Raises AssertionError where they differ.
    """
    supernet = Supernet(space.supernet()).double()
    common.disturb(supernet, generator)
    arch, logits = common.open_arch(supernet.decisions, generator, torch.float64)
    for training in (True, False):
        when = "while training" if training else "in evaluation"
        with attempting(f"running the supernet plain and fused {when}"):
            plain = _results(supernet, None, training, inputs, arch, logits)
            fused = _results(supernet, portable_kernels(), training, inputs, arch, logits)
        for name, expected in plain.items():
            error = common.difference(fused[name], expected)
            require(
                error <= DOUBLE,
                f"the supernet run fused differs from plain modules {when} by {error:.1e} "
                f"(relative) in {name}; leaves() and plain() of a module must compute the same",
            )


def _results(
    supernet: Supernet,
    kernels: Kernels | None,
    training: bool,
    inputs: Tensor,
    arch: Mapping[str, Weights],
    logits: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The output, and the gradients of its mean square to logits and to all weights together."""
    net = copy.deepcopy(supernet).train(training)
    set_execution(net, kernels)
    parameters = list(net.parameters())
    with EqualDraws():
        output: Tensor = net(inputs.double(), arch)
        wanted = [*logits.values(), *parameters]
        loss = output.square().mean()
        grads = torch.autograd.grad(loss, wanted, allow_unused=True, retain_graph=True)
    filled = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads, strict=True)]
    found = {"its output": output}
    names = ("the gradients of the logits", "the gradients of the weights")
    for name, part in zip(names, (filled[: len(logits)], filled[len(logits) :]), strict=True):
        if part:
            found[name] = torch.cat([gradient.flatten() for gradient in part])
    return found


def check_exported(space: SearchSpace, genotype: Mapping[str, Choice], inputs: Tensor) -> None:
    """The network of ``genotype`` as a ``torch.export`` program computes what the network does.

    The program takes any batch. Raises AssertionError where it cannot be made or differs.
    """
    network = space.network(genotype).eval()
    with attempting(f"exporting the network of {genotype} by torch.export"):
        shapes = ({0: Dim("batch")},)
        program = torch.export.export(network, (inputs,), dynamic_shapes=shapes).module()
    fewer = inputs[:-1]
    with attempting(f"running the program of {genotype}"), torch.no_grad(), EqualDraws():
        found, expected = program(fewer), network(fewer)
    error = common.difference(found, expected)
    require(
        error <= EXPORTED,
        f"the exported program differs from its network by {error:.1e} (relative) for {genotype}",
    )
