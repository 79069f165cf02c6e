"""A network with open choices: slots read the weights that the supernet binds before a forward."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from nas.arch import Arch, Deferred, Weights
from nas.decision import Decision, collect
from nas.errors import SpaceError


class Slot(nn.Module):
    """Where a module reads the weights of one decision; it owns no parameter.

    An ``optional`` slot may stay unbound: its owner then does without weights (a DARTS node adds up
    all its edges where a strategy has no edge weights).
    """

    def __init__(self, decision: Decision, *, optional: bool = False) -> None:
        super().__init__()
        self.decision, self.optional = decision, optional
        self._given: Weights | Deferred | None = None
        self._used: Weights | None = None

    @property
    def bound(self) -> bool:
        """Whether the architecture at hand holds this slot's decision."""
        return self._given is not None

    @property
    def deferred(self) -> bool:
        """Whether the weights at hand need evidence that the owner measures."""
        return self._given is not None and not isinstance(self._given, Weights)

    @property
    def used(self) -> Weights | None:
        """The weights that the last forward read; None if it did not run this slot."""
        return self._used

    @property
    def held(self) -> tuple[Weights | Deferred | None, Weights | None]:
        """What is bound and what was read of it; can be put back later."""
        return self._given, self._used

    @held.setter
    def held(self, held: tuple[Weights | Deferred | None, Weights | None]) -> None:
        self._given, self._used = held

    def bind(self, given: Weights | Deferred | None) -> None:
        """Hand over the weights of the next forward, or None where the architecture has none."""
        self._given, self._used = given, None

    def forward(self, evidence: Tensor | None = None) -> Weights:
        """The bound weights, (groups, n); deferred ones are resolved by the first ``evidence``."""
        if self._given is None:
            raise RuntimeError(
                f"decision {self.decision.name!r} is not bound; call the Supernet with an "
                "architecture that holds it, not the inner module"
            )
        if isinstance(self._given, Weights):
            self._used = self._given
        elif self._used is None:  # once per forward, so that recomputation sees the same weights
            if evidence is None:
                raise RuntimeError(
                    f"decision {self.decision.name!r} is deferred; its slot must be called with "
                    "evidence"
                )
            self._used = self._given(evidence)
        return self._used

    def __getstate__(self) -> dict[str, Any]:
        # Bound weights belong to one forward (and to its graph), never to a copy of the network.
        return {**self.__dict__, "_given": None, "_used": None}


@runtime_checkable
class Searchable(Protocol):
    """A module with choices inside that can become a plain module."""

    def freeze(self) -> nn.Module:
        """A plain module for the bound one-hot weights, its weights copied."""
        ...


class Supernet(nn.Module):
    """A network with slots, called with an architecture: ``supernet(inputs, arch)``.

    Its parameters are exactly the network's weights. One forward at a time per object: slots keep
    the last architecture until the next call.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        slots = [module for module in net.modules() if isinstance(module, Slot)]
        self._slots = tuple(slots)
        self.decisions: Mapping[str, Decision] = collect(slot.decision for slot in slots)
        self.readers: Mapping[str, int] = Counter(slot.decision.name for slot in slots)
        self.optional = frozenset(slot.decision.name for slot in slots if slot.optional)

    def bind(self, arch: Arch) -> None:
        """Give every slot its weights; slots whose decision ``arch`` lacks raise only if called."""
        for slot in self._slots:
            slot.bind(arch.get(slot.decision.name))

    def forward(self, inputs: Any, arch: Arch) -> Any:
        """The network's output for ``inputs`` under ``arch``."""
        self.bind(arch)
        return self.net(inputs)

    def realised(self) -> dict[str, Weights]:
        """The weights that the last forward used, by decision; what costs and logs read."""
        return {slot.decision.name: slot.used for slot in self._slots if slot.used is not None}

    def freeze(self, arch: Arch) -> nn.Module:
        """The network under a one-hot ``arch``: a plain module with copied weights, slots gone."""
        self.bind(arch)
        return frozen(self.net)


def frozen(module: nn.Module) -> nn.Module:
    """A copy of ``module`` in which every searchable part is replaced by what it froze to.

    Raises SpaceError for a part that reads a decision but cannot freeze.
    """
    if not any(isinstance(part, Slot) for part in module.modules()):
        return copy.deepcopy(module)
    if _freezes(module):
        return cast(Searchable, module).freeze()
    # The copy takes what is in `done` for the parts of these ids, and shares what they share.
    done: dict[int, Any] = {}
    _freeze_parts(module, done)
    return copy.deepcopy(module, done)


def _freezes(module: nn.Module) -> bool:
    return isinstance(module, Searchable) and not isinstance(module, Supernet)


def _freeze_parts(module: nn.Module, done: dict[int, Any]) -> None:
    for part in module.children():
        if isinstance(part, Slot):
            raise SpaceError(
                f"{type(module).__name__} reads decision {part.decision.name!r} but cannot become "
                "a plain module; give it a freeze() that returns one"
            )
        if id(part) in done:
            continue
        if _freezes(part):
            done[id(part)] = frozen(part)
        else:
            _freeze_parts(part, done)
