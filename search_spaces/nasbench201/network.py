"""Operations, cells and the macro structure; shared by the supernet and the derived network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.decision import Candidate
from nas.searchable import MixedOp, Node, Nodes, candidate, scoped
from nas.searchable.fusable import Chain
from nas.searchable.node import SumOfEdges
from nas.searchable.primitives import AvgPool, Zero
from search_spaces.heads import head_of
from search_spaces.nasbench201.cells import NODES
from search_spaces.nasbench201.cells import Cell as Plan
from search_spaces.nasbench201.decisions import edge_decision, edge_name, inputs_decision
from search_spaces.ops import conv, named, norm, relu_conv_bn

MakeCell = Callable[[int], nn.Module]
STAGES = 3


@dataclass(frozen=True)
class Operations:
    """Builds the operations of an edge; each keeps size and channels.

    Attributes:
        dims: number of spatial dimensions.
        searched: whether they are those of a supernet, whose batch normalization has no affine
            parameters and always takes the statistics of the batch, as in the released code:
            statistics gathered under changing weights of the operations fit none of them.
    """

    dims: int
    searched: bool = False

    def __call__(self, name: Candidate, channels: int) -> nn.Module:
        """The operation ``name``: (N, C, ...) to (N, C, ...)."""
        if name == "none":
            return Zero(1)
        if name == "skip_connect":
            return nn.Identity()
        if name == "avg_pool_3x3":
            return AvgPool(1)
        kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[str(name)]
        kept = not self.searched
        return relu_conv_bn(
            channels, channels, kernel, affine=kept, dims=self.dims, statistics=kept
        )


class Cell(nn.Module):
    """Node 0 is the input; nodes 1, 2 and 3 add up their edges; node 3 is the output.

    Args:
        nodes: modules from the list of states to the next state (N, C, ...).
    """

    def __init__(self, nodes: Iterable[nn.Module]) -> None:
        super().__init__()
        self.nodes = Nodes(nodes)

    def forward(self, x: Tensor) -> Tensor:
        """The last node's value, of the shape of ``x`` (N, C, ...)."""
        states: list[Tensor] = self.nodes([x])
        return states[-1]


def derived_cell(plan: Plan, channels: int, make: Operations) -> Cell:
    """The cell of a genotype."""
    return Cell(
        SumOfEdges(
            [
                candidate(make(name, channels), edge_name(source, node), name)
                for source, name in enumerate(plan.of(node))
            ],
            range(node),
        )
        for node in range(1, NODES)
    )


def open_cell(operations: Sequence[str], channels: int, make: Operations) -> Cell:
    """A cell with all its edges open; a node of several inputs can take edge weights."""

    def edges(node: int) -> list[MixedOp]:
        decisions = [edge_decision(source, node, operations) for source in range(node)]
        return [MixedOp(decision, make, channels=channels) for decision in decisions]

    nodes = [Node(edges(node), inputs_decision(node)) for node in range(2, NODES)]
    return Cell([SumOfEdges(edges(1), [0]), *nodes])


class ResidualReduction(nn.Module):
    """Two 3x3 convolutions beside a pooled 1x1 one: half the size (rounded up), other channels."""

    def __init__(self, c_in: int, c_out: int, dims: int) -> None:
        super().__init__()
        self.conv1 = relu_conv_bn(c_in, c_out, 3, 2, dims=dims)
        self.conv2 = relu_conv_bn(c_out, c_out, 3, dims=dims)
        pool = nn.AvgPool1d if dims == 1 else nn.AvgPool2d
        # ceil_mode lets odd sizes fit; even ones do anyway
        self.shortcut = named(pool=pool(2, 2, ceil_mode=True), conv=conv(c_in, c_out, 1, dims=dims))

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, ...) to (N, c_out, ... / 2)."""
        total: Tensor = self.conv2(self.conv1(x)) + self.shortcut(x)
        return total


class Network(nn.Module):
    """A 3x3 stem, three stages of cells with a reduction between, and a head.

    Batch normalization and ReLU follow the last cell; the head is what the kind of data asks for
    (``search_spaces.heads``).

    Args:
        make_cell: builds a cell of a number of channels.
        data: input shape, kind and number of outputs.
        channels: of the first stage; doubled at both reductions.
        cells: of each stage.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        *,
        data: DataSpec,
        channels: int,
        cells: int,
    ) -> None:
        super().__init__()
        dims = data.dims
        stem = conv(data.channels, channels, 3, dims=dims)
        self.stem = Chain(conv=stem, norm=norm(channels, dims=dims))
        made: list[nn.Module] = []
        for stage in range(STAGES):
            if stage:
                reduction = ResidualReduction(channels, 2 * channels, dims)
                made.append(scoped(reduction, f"reduction{stage}"))
                channels *= 2
            made += [make_cell(channels) for _ in range(cells)]
        self.cells = nn.ModuleList(made)
        self.last = named(norm=norm(channels, dims=dims), relu=nn.ReLU())
        self.pool, self.classifier, self.resize = head_of(data, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        outputs: Tensor = self.resize(self.classifier(self.pool(self.last(x))))
        return outputs
