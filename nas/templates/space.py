"""A space of your own: a row of blocks, each of which chooses its operation.

nas space check my_space
nas search --config-dir conf space=my_space 'plugins=[my_space]' preset=smoke
"""

from collections.abc import Iterable

from torch import nn

from nas import DataSpec, Decision
from nas.decision import Candidate, Genotype
from nas.searchable import MixedOp, candidate

OPERATIONS = ("conv_3x3", "conv_5x5", "skip")  # add yours here, and build it below


def operation(name: Candidate, channels: int) -> nn.Module:
    """One candidate of a block; all of them keep the channels and the size of an image."""
    if name == "skip":
        return nn.Identity()
    kernel = {"conv_3x3": 3, "conv_5x5": 5}[str(name)]
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(channels))


class MySpace:
    """``blocks`` blocks in a row between a stem and a classifier; for images with classes."""

    name = "my_space"  # written into genotype files

    def __init__(self, data: DataSpec, channels: int = 16, blocks: int = 4) -> None:
        self.data, self.channels = data, channels
        names = [f"block{index}/operation" for index in range(blocks)]
        # What is searched: names and candidates. Blocks of one name would share one choice.
        self.decisions = {name: Decision(name, OPERATIONS) for name in names}

    def supernet(self) -> nn.Module:
        """The network of the search: a block is the weighted sum of its candidates."""
        # channels= says that candidates keep their number; partial channels (PC-DARTS) ask for it.
        blocks = (
            MixedOp(decision, operation, channels=self.channels)
            for decision in self.decisions.values()
        )
        return self._around(blocks)

    def network(self, genotype: Genotype) -> nn.Module:
        """The network of a genotype, freshly initialized: what was chosen, and nothing else."""
        # Marked by what was chosen, so that compression= knows what its decisions belong to.
        return self._around(
            candidate(operation(str(genotype[n]), self.channels), n, str(genotype[n]))
            for n in self.decisions
        )

    def _around(self, blocks: Iterable[nn.Module]) -> nn.Module:
        stem = nn.Conv2d(self.data.channels, self.channels, 3, padding=1)
        head = nn.Linear(self.channels, self.data.outputs)
        return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
