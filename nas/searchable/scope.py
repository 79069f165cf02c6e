"""Which parts of a network belong together whatever its depth: what decisions inside are named by.

The same part of a space has different module names in the supernet, in the blueprint and in a
derived network, and stands several times in each. A scope gives it one name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

from torch import nn

from nas.decision import Candidate

ModuleT = TypeVar("ModuleT", bound=nn.Module)
_ATTRIBUTE = "scope"


@dataclass(frozen=True)
class Scope:
    """The name of a part, and the choice without which it is not there.

    Attributes:
        name: such as ``normal/0->2/sep_conv_3x3`` or ``reduce/preprocess0``.
        owner: decision and candidate; None for a part of every network.
    """

    name: str
    owner: tuple[str, Candidate] | None = None


def scoped(module: ModuleT, name: str) -> ModuleT:
    """The module, marked as a part of every network of the space."""
    setattr(module, _ATTRIBUTE, Scope(name))
    return module


def candidate(module: ModuleT, decision: str, chosen: Candidate) -> ModuleT:
    """The module, marked as what is there where ``decision`` takes ``chosen``."""
    setattr(module, _ATTRIBUTE, Scope(f"{decision}/{chosen}", (decision, chosen)))
    return module


def unmarked(module: nn.Module) -> None:
    """Take the module's own mark away: it belongs to what is around it."""
    vars(module).pop(_ATTRIBUTE, None)


def scopes(net: nn.Module) -> Iterator[tuple[str, nn.Module, Scope]]:
    """Every module of ``net`` with its name and scope, in order; the auxiliary head is left out.

    The innermost scope around a module holds; without any, its own name with slashes is one. A
    scope inside a candidate has its owner.
    """
    yield from _below(net, "", None)


def _below(
    module: nn.Module, name: str, around: Scope | None
) -> Iterator[tuple[str, nn.Module, Scope]]:
    own = cast("Scope | None", getattr(module, _ATTRIBUTE, None))
    if own is not None and around is not None and own.owner is None:
        own = Scope(own.name, around.owner)
    inside = own or around
    yield name, module, inside or Scope(name.replace(".", "/"))
    for child, part in module.named_children():
        if child != "auxiliary" or name:
            yield from _below(part, f"{name}.{child}" if name else child, inside)
