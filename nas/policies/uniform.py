"""Uniform and strictly fair sampling of single paths; nothing to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.decision import Decision
from nas.policies.base import Sample, plain_sample
from nas.policies.stacks import Layout
from nas.relaxations import UniformPath, allowed


def uniform_path(
    layout: Layout, masks: Mapping[str, Tensor], generator: torch.Generator, like: Tensor
) -> Sample:
    """K-hot weights of every decision, all sets of ``pick`` allowed candidates equally likely.

    Args:
        layout: where the rows of the decisions lie.
        masks: allowed candidates by stack, on the CPU.
        generator: of the draws, on the CPU.
        like: a tensor of the device and the type that the weights get.
    """
    values, live, path = {}, {}, UniformPath()
    for key, mask in masks.items():
        logits = torch.zeros_like(mask, dtype=like.dtype, device=like.device)
        values[key], live[key] = path(logits, mask, layout.picks[key], generator)
    return plain_sample(layout.split(values, live))


class Uniform(nn.Module):
    """Draws every decision uniformly from its allowed candidates; several without replacement.

    Args:
        decisions: what to draw.
        seed: of the policy's own CPU generator.
        kept: decisions as a genotype has them; candidates that it never keeps are masked from the
            start, so that what is drawn are paths of the space.
    """

    _device: Tensor

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        seed: int = 0,
        kept: Mapping[str, Decision] | None = None,
    ) -> None:
        super().__init__()
        self.decisions = dict(decisions)
        self._layout = Layout(decisions)
        self._masks = self._layout.masks()
        self._generator = torch.Generator().manual_seed(seed)
        self.register_buffer("_device", torch.zeros(()), persistent=False)
        for name, decision in (kept or {}).items():
            if name in self.decisions:
                known = self.decisions[name].candidates
                self.set_mask(name, [candidate in decision.candidates for candidate in known])

    def forward(self) -> Sample:
        """K-hot weights of every decision, (groups, n) each."""
        return uniform_path(self._layout, self._masks, self._generator, self._device)

    def fair(self) -> list[Sample]:
        """Paths that together take every allowed candidate equally often.

        This is the strict fairness of FairNAS (arXiv 1907.01845).
        One permutation per row is dealt out in turn, ``pick`` candidates to each path. There are as
        many paths as the longest row has candidates, so that rows of that length are taken exactly
        ``pick`` times; in shorter ones, which the paper does not have, candidates differ by one at
        most.
        """
        rows = {}
        for key, mask in self._masks.items():
            noise = torch.rand(mask.shape, generator=self._generator).masked_fill(~mask, -1.0)
            rows[key] = noise.argsort(-1, descending=True), mask.sum(-1, keepdim=True)
        longest = max(int(counts.max()) for _, counts in rows.values())
        return [self._dealt(rows, turn) for turn in range(longest)]

    def _dealt(self, rows: Mapping[str, tuple[Tensor, Tensor]], turn: int) -> Sample:
        values, live = {}, {}
        for key, (orders, counts) in rows.items():
            pick = self._layout.picks[key]
            places = (turn * pick + torch.arange(pick)) % counts
            chosen = orders.gather(-1, places).sort(-1).values
            hard = torch.zeros(orders.shape).scatter(-1, chosen, 1.0)
            values[key] = hard.to(self._device.device)
            live[key] = [tuple(row) for row in chosen.tolist()]
        return plain_sample(self._layout.split(values, live))

    def probabilities(self) -> Arch:
        """Equal weights over the allowed candidates, (groups, n) each."""
        device = self._device.device
        values = {k: (m / m.sum(-1, keepdim=True)).to(device) for k, m in self._masks.items()}
        live = {key: allowed(mask) for key, mask in self._masks.items()}
        return self._layout.split(values, live)

    def mask(self, name: str) -> Tensor:
        """Allowed candidates of a decision, bool (groups, n)."""
        return self._layout.view(self._masks, name).clone()

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision; raises ConfigError if too few remain."""
        self._layout.write_mask(self._masks, name, mask)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Nothing: there are no parameters."""
        return []

    def take_reset(self) -> list[nn.Parameter]:
        """Nothing: there are no parameters."""
        return []

    def get_extra_state(self) -> dict[str, Any]:
        """Generator and masks."""
        masks = {key: mask.clone() for key, mask in self._masks.items()}
        return {"generator": self._generator.get_state(), "masks": masks}

    def set_extra_state(self, state: Any) -> None:
        """Restore what ``get_extra_state`` gave."""
        self._generator.set_state(state["generator"])
        for key, mask in state["masks"].items():
            self._masks[key].copy_(mask)
