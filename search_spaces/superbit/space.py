"""The search space: one network, with nothing to decide on but what compression adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError
from search_spaces.backbones import backbone


class BackboneSpace:
    """A classic network (ABS, arXiv 2101.04935, section 4), to be given compression.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        backbone: its name in ``search_spaces.backbones``, such as ``resnet20``.
        settings: of its constructor, such as ``channels`` for the width.

    Raises:
        SpaceError: for an unknown backbone or setting, and for genotypes without compression.
    """

    name = "superbit"

    def __init__(
        self,
        data: DataSpec,
        backbone: str = "resnet20",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.data, self.backbone, self.settings = data, backbone, dict(settings or {})
        self.decisions: dict[str, Decision] = {}

    def supernet(self) -> nn.Module:
        """The network, freshly initialized; outputs (N, outputs), or one per position."""
        return backbone(self.backbone, self.data, **self.settings)

    def network(self, genotype: Genotype) -> nn.Module:
        """The same: there is one network.

        Raises SpaceError for a genotype that holds a choice.
        """
        if genotype:
            raise SpaceError(
                f"space 'superbit' has nothing to decide on, got {min(genotype)}; add "
                "compression=superbit"
            )
        return self.supernet()

    def discretize(self, arch: Mapping[str, Any]) -> dict[str, Choice]:
        """Nothing is chosen."""
        return {}

    def size(self) -> int:
        """One."""
        return 1
