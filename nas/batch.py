"""What a data stream hands to a step."""

from __future__ import annotations

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """Inputs and targets of some samples: tensors or any pytree of tensors, samples first."""

    inputs: Any
    targets: Any
