"""One step of the architecture optimizer from given gradients, masked candidates left alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.policies import Policy


def architecture_step(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    gradients: Sequence[Tensor | None],
    clip: float | None = None,
) -> None:
    """Apply ``gradients`` (one per parameter of the policy) by ``optimizer``.

    Masked logits receive neither gradient nor decay. Where a mask changed, the optimizer's moments
    of that tensor are dropped first: a newly allowed logit would otherwise take a first step of
    many times the learning rate.
    """
    parameters = list(policy.parameters())
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    held = [(p, mask.to(p.device), p.detach().clone()) for p, mask in policy.held()]
    for parameter, mask, _ in held:
        if parameter.grad is not None:  # also out of the norm and the moments
            parameter.grad = parameter.grad.masked_fill(~mask, 0.0)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    for parameter in policy.take_reset():
        optimizer.state.pop(parameter, None)
    optimizer.step()
    with torch.no_grad():
        for parameter, mask, before in held:
            parameter.copy_(torch.where(mask, parameter, before))
    optimizer.zero_grad(set_to_none=True)
