"""A step that only a device takes part in: tensors without data stand for those on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")
COPIES = ("aten::_to_copy", "aten::copy_", "aten::lift_fresh")


class HostError(RuntimeError):
    """Something was read from the device or sent to it."""


class Alone(TorchDispatchMode):
    """Refuses to read a value of a ``meta`` tensor, and to let one meet a tensor of the host.

    What it lets pass could run inside a CUDA graph, as far as traffic with the host goes.
    """

    def __torch_dispatch__(  # type: ignore[override]
        self,
        op: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = op(*args, **(kwargs or {}))
        name = op.name().split(".")[0]
        given, made = list(_tensors((args, kwargs))), list(_tensors(found))
        if any(tensor.is_meta for tensor in (*given, *made)):
            # a number on the host, of shape (), is an argument of a kernel and is not sent
            sent = [t for t in given if not t.is_meta and (t.dim() > 0 or name in COPIES)]
            got = [t for t in made if not t.is_meta]
            if name in READS or name == "aten::lift_fresh" or sent or got:
                raise HostError(f"{op.name()} joins host and device")
        return found


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
