"""Many networks of the chain computed at once, each with its own weights.

One small network after the other would mostly wait for the calls between operations; grouped
convolutions compute the same, network by network, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.decision import Genotype
from nas.errors import SpaceError
from search_spaces.chain.network import HALVED, LAYERS, OPERATIONS, Network


class StackedConv(nn.Module):
    """A convolution of m networks, each on its own channels: (N, m C, H, W) to the same.

    Args:
        parts: that of every network, of equal shapes and without bias.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        first = cast(nn.Conv2d, parts[0])
        self.count, self.padding = len(parts), cast("tuple[int, int]", first.padding)
        weights = [cast(Tensor, part.weight).detach() for part in parts]
        self.weight = nn.Parameter(torch.cat(weights))

    def forward(self, x: Tensor) -> Tensor:
        """Every network's convolution of its own input."""
        return F.conv2d(x, self.weight, padding=self.padding, groups=self.count)


def stacked_norm(parts: Sequence[nn.Module]) -> nn.BatchNorm2d:
    """Batch normalization of m networks: statistics are per channel, so none sees another's."""
    first = cast(nn.BatchNorm2d, parts[0])
    joined = nn.BatchNorm2d(len(parts) * first.num_features, first.eps, first.momentum)
    states = [part.state_dict() for part in parts]
    state = {
        key: torch.cat([each[key] for each in states]) if value.dim() else states[0][key]
        for key, value in joined.state_dict().items()
    }
    joined.load_state_dict(state)
    return joined


class StackedLayer(nn.Module):
    """One layer of every network; those with the same operation compute it together.

    Args:
        names: the operation of each network.
        parts: its module in each network.
    """

    def __init__(self, names: Sequence[str], parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(names)
        self.convs = nn.ModuleDict()
        for operation in OPERATIONS:
            members = [place for place, name in enumerate(names) if name == operation]
            self.register_buffer(operation, torch.tensor(members, dtype=torch.long))
            if members and operation.startswith("nor_conv"):
                own = [parts[place] for place in members]
                convs = [cast(nn.Module, part.conv) for part in own]
                norms = [cast(nn.Module, part.norm) for part in own]
                self.convs[operation] = nn.Sequential(
                    nn.ReLU(), StackedConv(convs), stacked_norm(norms)
                )
        order = torch.cat([self.get_buffer(operation) for operation in OPERATIONS])
        self.register_buffer("back", order.argsort())

    def forward(self, x: Tensor) -> Tensor:
        """(N, m C, H, W) to the same."""
        each = x.view(len(x), self.count, -1, *x.shape[2:])
        values = []
        for operation in OPERATIONS:
            members = self.get_buffer(operation)
            if len(members):
                value = self._operation(operation, each.index_select(1, members).flatten(1, 2))
                values.append(value.view(len(x), len(members), -1, *x.shape[2:]))
        return torch.cat(values, 1).index_select(1, self.get_buffer("back")).flatten(1, 2)

    def _operation(self, name: str, value: Tensor) -> Tensor:
        if name == "skip_connect":
            return value
        if name == "avg_pool_3x3":
            return F.avg_pool2d(value, 3, 1, 1, count_include_pad=False)
        found: Tensor = self.convs[name](value)
        return found


class StackedNetwork(nn.Module):
    """Networks of one width and different layers, computed together, each with its own weights.

    A step of SGD on the sum of their losses is, up to rounding, a step of each of them on its own
    loss: nothing that one network holds enters another's output.

    Args:
        genotypes: of the networks.
        networks: as the space builds them, for images; weights and statistics are taken over.

    Raises:
        SpaceError: there is no network, or not one genotype for each.
    """

    def __init__(self, genotypes: Sequence[Genotype], networks: Sequence[Network]) -> None:
        super().__init__()
        if not networks or len(genotypes) != len(networks):
            raise SpaceError(
                "a stack needs networks and one genotype for each of them, "
                f"got {len(genotypes)} and {len(networks)}"
            )
        self.count = len(networks)
        self.stem_weight = nn.Parameter(
            torch.cat([cast(nn.Conv2d, net.stem.conv).weight.detach() for net in networks])
        )
        self.stem_norm = stacked_norm([cast(nn.Module, net.stem.norm) for net in networks])
        self.layers = nn.ModuleList(
            StackedLayer(
                [str(genotype[f"layer{place + 1}"]) for genotype in genotypes],
                [net.layers[place] for net in networks],
            )
            for place in range(LAYERS)
        )
        self.last_norm = stacked_norm([cast(nn.Module, net.last.norm) for net in networks])
        heads = [cast(nn.Linear, net.classifier) for net in networks]
        self.weight = nn.Parameter(torch.stack([head.weight.detach() for head in heads]))
        self.bias = nn.Parameter(torch.stack([head.bias.detach() for head in heads]))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (m, N, classes) of all networks for the same images (N, C, H, W)."""
        y = self.stem_norm(F.conv2d(x, self.stem_weight, padding=1))
        for place, layer in enumerate(self.layers):
            y = layer(y)
            if place in HALVED:
                y = F.max_pool2d(y, 2, 2, ceil_mode=True)
        y = self.last_norm(y).relu().mean((-2, -1)).view(len(x), self.count, -1)
        return torch.baddbmm(self.bias.unsqueeze(1), y.transpose(0, 1), self.weight.mT)
