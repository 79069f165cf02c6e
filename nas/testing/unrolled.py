"""The exact gradients that first and second order approximate, by automatic differentiation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nas.batch import Batch
from nas.testing.bench import STEPS, Bench, Rig
from nas.testing.common import attempting, require

WARM = 2 * STEPS  # steps of the weights before the gradient is looked at
CLOSE = 0.02  # of the size of the correction that second order adds


def check_gradient(bench: Bench, order: int) -> None:
    """Compare what the architecture's optimizer gets with the exact gradient of ``order`` 1 or 2.

    Second order is ``d/dalpha L_val(w - xi (mu m + grad L_train(w, alpha) + wd w), alpha)``
    (arXiv 1806.09055, eq. 5 to 7); the error is measured against what it adds to first order. In
    float64, since finite differences are allowed.
    """
    rig = bench.rig(0, architecture_rate=0.0, dtype=torch.float64)
    epochs = 4
    places = [
        i for i, p in enumerate(rig.positions(epochs)) if len(p.phase.streams) > 1 and p.step == 0
    ]
    require(bool(places), "no phase reads both streams, so there is no bilevel gradient to compare")
    ready = max(places[0], WARM)
    rig.run(epochs, end=ready)
    position = list(rig.positions(epochs))[ready]
    train, held_out = (
        _double(bench.batch(rig.data_seed, name, position.epoch, position.step))
        for name in ("weights", "architecture")
    )
    exact = {n: exact_gradient(rig, train, held_out, second=n == 2) for n in (1, 2)}
    correction = (exact[2] - exact[1]).norm()
    require(float(correction) > 0, "the toy space is too simple: both orders agree on it")
    found = _gradient_of(rig, epochs, ready)
    error = float((found - exact[order]).norm() / correction)
    other = float((found - exact[3 - order]).norm() / correction)
    posing = f"; it is the gradient of order {3 - order}" if other <= CLOSE else ""
    require(
        error <= CLOSE,
        f"the architecture's gradient is not that of order {order}: it is off by {error:.1%} of "
        f"what the second order adds to the first{posing}",
    )


def _double(batch: Batch) -> Batch:
    return Batch(batch.inputs.double(), batch.targets)


def exact_gradient(rig: Rig, train: Batch, held_out: Batch, second: bool) -> Tensor:
    """The gradient (all logits in one row) at the rig's weights, or through one step of them."""
    weights: dict[str, Tensor] = dict(rig.supernet.named_parameters())
    logits = list(rig.policy.parameters())

    def loss(values: dict[str, Tensor], batch: Batch) -> Tensor:
        buffers = {name: b.clone() for name, b in rig.supernet.named_buffers()}
        arguments = (batch.inputs, rig.policy().arch)
        output = torch.func.functional_call(rig.supernet, {**values, **buffers}, arguments)
        return functional.cross_entropy(output, batch.targets)

    values = dict(weights)
    if second:
        group, state = rig.weights_optimizer.param_groups[0], rig.weights_optimizer.state
        gradients = torch.autograd.grad(
            loss(values, train), list(weights.values()), create_graph=True
        )
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            momentum = state.get(weight, {}).get("momentum_buffer", torch.zeros_like(weight))
            move = group["momentum"] * momentum + gradient + group["weight_decay"] * weight
            values[name] = weight - group["lr"] * move
    found = torch.autograd.grad(loss(values, held_out), logits)
    return torch.cat([gradient.flatten() for gradient in found])


def _gradient_of(rig: Rig, epochs: int, step: int) -> Tensor:
    """What the update hands to the architecture's optimizer in one step."""
    logits = list(rig.policy.parameters())
    seen: list[Tensor] = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        if not seen:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in logits]
            seen.append(torch.cat([gradient.flatten().clone() for gradient in gradients]))

    handle = rig.architecture_optimizer.register_step_pre_hook(look)
    try:
        with attempting("one step of the search"):
            rig.run(epochs, start=step, end=step + 1)
    finally:
        handle.remove()
    require(bool(seen), "the architecture's optimizer is never used; no gradient to compare")
    return seen[0]
