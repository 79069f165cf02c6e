"""Relaxations and policies with one fault each, for the contracts to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch, Weights
from nas.decision import Decision
from nas.policies import FreeLogits, Sample
from nas.policies.base import plain_sample
from nas.relaxations import Gumbel, Live, SinglePath, Softmax, allowed, probabilities

Relaxed = tuple[Tensor, Live]


class Sigmoid:
    """Rows that do not sum to 1."""

    soft = True

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return logits.sigmoid() * mask, allowed(mask)


class Unmasked:
    """Masked candidates keep their weight."""

    soft = True

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return logits.softmax(-1), allowed(mask)


class AllLive(Softmax):
    """Masked candidates are executed."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        values, live = super().__call__(logits, mask, pick, generator)
        return values, [tuple(range(logits.shape[1]))] * len(live)


class Negative(Softmax):
    """Rows that sum to 1, but with gates that increase: some weights are below 0."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        values, live = super().__call__(logits, mask, pick, generator)
        return (2 * values - mask / mask.sum(-1, keepdim=True)), live


class Detached(Softmax):
    """No gradient."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return super().__call__(logits.detach(), mask, pick, generator)


class FirstRows(Softmax):
    """A gradient to the first rows alone."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        kept = torch.cat([logits[:5], logits[5:].detach()])
        return super().__call__(kept, mask, pick, generator)


class HardInName(Softmax):
    """Says that it is hard, and is not."""

    soft = False


class GlobalNoise(SinglePath):
    """Draws from the global generator."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        seed = int(torch.randint(1000, ()))
        return super().__call__(logits, mask, pick, torch.Generator().manual_seed(seed))


class OwnNoise(SinglePath):
    """Draws from a generator that nobody can seed."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        unseeded = torch.Generator()
        unseeded.seed()
        return super().__call__(logits, mask, pick, unseeded)


class InPlace(Softmax):
    """Writes to the logits."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        with torch.no_grad():
            logits.mul_(0.9)
        return super().__call__(logits, mask, pick, generator)


class Inverted(Softmax):
    """Multiplies by the temperature instead of dividing."""

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return probabilities(logits * self.temperature, mask), allowed(mask)


class Bounded:
    """The largest logit never decides."""

    soft = True

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return probabilities(logits.tanh(), mask), allowed(mask)


class Backwards:
    """Takes the smallest logit."""

    soft = True

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> Relaxed:
        return probabilities(-logits, mask), allowed(mask)


# policies


class HidesParameter(FreeLogits):
    """A scale that is trained nowhere and saved nowhere: it sits in a list."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Softmax(), seed=seed)
        self._scales = [nn.Parameter(torch.ones(()))]

    def forward(self) -> Sample:
        arch = {
            name: Weights((w.values.log() * self._scales[0]).softmax(-1), w.live)
            for name, w in super().forward().arch.items()
            if isinstance(w, Weights)
        }
        return plain_sample(arch)


class OwnsWeights(FreeLogits):
    """Holds a weight of the supernet."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int, weight: nn.Parameter) -> None:
        super().__init__(decisions, Softmax(), seed=seed)
        self.register_parameter("bias", weight)


class TakesHard(FreeLogits):
    """A soft policy that does not look whether a decision is hard."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        soft = {
            n: Decision(n, d.candidates, d.kind, d.pick, d.groups) for n, d in decisions.items()
        }
        super().__init__(soft, Softmax(), seed=seed)


class ForgetsGenerator(FreeLogits):
    """A sampled policy whose state is its logits and masks alone."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Gumbel(), seed=seed)

    def get_extra_state(self) -> dict[str, Any]:
        return {"masks": {key: mask.clone() for key, mask in self._masks.items()}}

    def set_extra_state(self, state: Any) -> None:
        for key, mask in state["masks"].items():
            self._masks[key].copy_(mask)


class ForgetsMasks(FreeLogits):
    """A policy whose state lacks the masks."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Softmax(), seed=seed)

    def get_extra_state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def set_extra_state(self, state: Any) -> None:
        self._generator.set_state(state["generator"])


class NoisyProbabilities(FreeLogits):
    """Gives a sample where the distribution is asked for."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Gumbel(), seed=seed)

    def probabilities(self) -> Arch:
        return self.forward().detach().arch


class Unseeded(FreeLogits):
    """Starts from the global generator."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Softmax(), seed=int(torch.randint(1000, ())))


class WrongShape(FreeLogits):
    """One row for all groups."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Softmax(), seed=seed)

    def forward(self) -> Sample:
        arch = super().forward().arch
        return plain_sample(
            {n: Weights(w.values[:1], w.live) for n, w in arch.items() if isinstance(w, Weights)}
        )


class NothingHeld(FreeLogits):
    """Does not tell the optimizer's step which logits are masked."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Softmax(), seed=seed)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        return []


class LeakyMask(FreeLogits):
    """Ignores masks where it hands out weights."""

    def __init__(self, decisions: Mapping[str, Decision], seed: int) -> None:
        super().__init__(decisions, Unmasked(), seed=seed)
