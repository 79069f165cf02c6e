"""Trained rank pruning: weights that are of low rank by the end of their training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nas.compression.forms import LAYERS, Factorized, Layer, form_of, sizes_of, why_not
from nas.compression.low_rank import check_energy, decomposed, rank_by_energy, worth
from nas.errors import SpaceError


class TrainedRank:
    """What is done to weights around a step (arXiv 2004.14566, 1910.04576).

    Before the forward of every ``every``-th step each layer's weight is replaced by the nearest one
    of the smallest rank ``r`` that keeps a share ``energy`` of its squared singular values; after
    the backward of such a step the sub-gradient ``nuclear * U_r V_r^T`` of the nuclear norm is
    added to its gradient, which makes every singular value kept smaller by the learning rate times
    ``nuclear``. The layers are a network's convolutions with a kernel above 1x1, in one group; as
    in the released code the first two stay as they are, and those with a stride are never
    decomposed. There low rank is imposed on these all the same; here they are left alone.

    Use: ``before_forward()``, forward, backward, ``before_step()``, optimizer step; at the end
    ``ranks()``, for ``nas.compression.with_ranks``.

    Args:
        network: whose weights are changed, in place; its ``auxiliary`` head is left alone.
        form: ``channel``, ``spatial`` or ``decouple``.
        every: steps from one truncation to the next (1 in the released code, 5 in its script).
        energy: share kept by a truncation (0.9 there).
        nuclear: factor of the nuclear norm (3e-4 there).
        final: share kept by ``ranks()``, of weights that training made low rank (our choice; the
            released code drops singular values below 0.05).
        skip: how many of the first such convolutions stay dense.
        strided: whether those with a stride are made low rank as well.

    Raises:
        SpaceError: for an unknown form, numbers out of range, a network that is factorized already,
            and one without such layers.
    """

    def __init__(
        self,
        network: nn.Module,
        form: str = "channel",
        every: int = 5,
        energy: float = 0.9,
        nuclear: float = 3e-4,
        final: float = 0.98,
        skip: int = 2,
        strided: bool = False,
    ) -> None:
        self.form = form_of(form).name
        self.energy, self.final = check_energy(energy, "energy"), check_energy(final, "final")
        if every < 1 or skip < 0 or not 0 <= nuclear < math.inf:
            raise SpaceError(
                f"trained rank pruning needs every >= 1, skip >= 0 and nuclear >= 0, got {every}, "
                f"{skip} and {nuclear}"
            )
        self.every, self.nuclear = every, nuclear
        self.layers: Mapping[str, Layer] = dict(_selected(network, self.form, skip, strided))
        if not self.layers:
            raise SpaceError(
                f"there is no layer to train to a low rank: the network has no convolution with a "
                f"kernel above 1x1, one group{'' if strided else ', stride 1'} and plain weights "
                f"for form {form!r} behind the first {skip}; lower trainer.low_rank.skip, "
                f"{'' if strided else 'set trainer.low_rank.strided=true, '}or use trainer=default"
            )
        self.steps = 0
        self._pull: dict[str, Tensor] = {}  # by which the nuclear norm grows, of a step at hand

    @torch.no_grad()
    def before_forward(self) -> None:
        """Cut every layer's weight to its rank, if it is time for it."""
        self.steps += 1
        self._pull.clear()
        if self.steps % self.every:
            return
        for name, layer in self.layers.items():
            u, s, vt = decomposed(layer, self.form)
            rank = rank_by_energy(s, self.energy)
            u, s, vt = u[..., :rank], s[..., None, :rank], vt[..., :rank, :]
            layer.weight.copy_(self._weight(layer, u * s @ vt))
            if self.nuclear:
                self._pull[name] = self._weight(layer, u @ vt)

    @torch.no_grad()
    def before_step(self) -> None:
        """Add the nuclear norm's sub-gradient to the gradients, where weights were just cut."""
        for name, pull in self._pull.items():
            weight = self.layers[name].weight
            if weight.grad is not None:
                weight.grad.add_(pull.to(weight.grad), alpha=self.nuclear)
        self._pull.clear()

    def ranks(self) -> dict[str, int]:
        """The rank of every layer that is worth two: at most 0.8 of break-even.

        It keeps a share ``final`` of the layer's squared singular values.
        """
        found = {
            name: rank_by_energy(decomposed(layer, self.form)[1], self.final)
            for name, layer in self.layers.items()
        }
        return {n: rank for n, rank in found.items() if worth(rank, self.layers[n], self.form, n)}

    def state_dict(self) -> dict[str, Any]:
        """How many steps there were."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.steps = int(state["steps"])

    def _weight(self, layer: Layer, matrix: Tensor) -> Tensor:
        return form_of(self.form).weight(matrix, sizes_of(layer)).reshape(layer.weight.shape)


def _selected(
    network: nn.Module, form: str, skip: int, strided: bool
) -> Iterator[tuple[str, Layer]]:
    """The layers to be made low rank, by name, in order."""
    seen = 0
    for name, layer in network.named_modules():
        if isinstance(layer, Factorized):
            raise SpaceError(
                f"{name!r} is of low rank already; train such a network with trainer=default, or "
                "search without compression=low_rank"
            )
        if (
            name.split(".")[0] == "auxiliary"
            or isinstance(layer, nn.Linear)
            or why_not(layer, form)
        ):
            continue
        assert isinstance(layer, LAYERS)
        if math.prod(sizes_of(layer)[2:]) == 1:
            continue
        seen += 1
        if seen > skip and (strided or set(getattr(layer, "stride", ())) == {1}):
            yield name, layer
