"""The macro structure: stem, cells, head; shared by the supernet and the derived network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.searchable import candidate
from nas.searchable.fusable import Chain
from search_spaces.darts.cells import Cell, Cells, DerivedNode, DropPath, Plan, Site
from search_spaces.darts.decisions import edge_name
from search_spaces.heads import head_of
from search_spaces.ops import conv, named, norm, operation

Stem = Literal["cifar", "imagenet"]
MakeCell = Callable[[Site], Cell]


class CifarStem(Chain):
    """3x3 convolution to three times the channels; both cell inputs are its output."""

    def __init__(self, c_in: int, channels: int, dims: int) -> None:
        width = 3 * channels
        super().__init__(conv=conv(c_in, width, 3, dims=dims), norm=norm(width, dims=dims))
        self.outputs = (width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same (N, 3 * channels, ...) twice, of the size of ``x``."""
        y = self.run(x)
        return y, y


class ImageNetStem(nn.Module):
    """Three convolutions of stride 2; the cell inputs are at 1/4 and 1/8 of the size."""

    def __init__(self, c_in: int, channels: int, dims: int) -> None:
        super().__init__()
        half = channels // 2
        self.stem0 = named(
            conv1=conv(c_in, half, 3, 2, dims=dims),
            norm1=norm(half, dims=dims),
            relu=nn.ReLU(),
            conv2=conv(half, channels, 3, 2, dims=dims),
            norm2=norm(channels, dims=dims),
        )
        self.stem1 = named(
            relu=nn.ReLU(),
            conv=conv(channels, channels, 3, 2, dims=dims),
            norm=norm(channels, dims=dims),
        )
        self.outputs = (channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, channels, ...) at a quarter and at an eighth of the size of ``x``."""
        y = self.stem0(x)
        return y, self.stem1(y)


class AuxiliaryHead(nn.Module):
    """A second classifier on inner features, for training only (1806.09055, section 3.2).

    The form for ImageNet pools with stride 2 and leaves its second normalization out, as the
    released code does.
    """

    def __init__(self, channels: int, outputs: int, stem: Stem, dims: int) -> None:
        super().__init__()
        pool = nn.AvgPool1d if dims == 1 else nn.AvgPool2d
        flat = nn.AdaptiveAvgPool1d(1) if dims == 1 else nn.AdaptiveAvgPool2d(1)
        parts: dict[str, nn.Module] = {
            "relu0": nn.ReLU(),
            "pool": pool(5, 3 if stem == "cifar" else 2, 0, count_include_pad=False),
            "conv1": conv(channels, 128, 1, dims=dims),
            "norm1": norm(128, dims=dims),
            "relu1": nn.ReLU(),
            "conv2": conv(128, 768, 2, dims=dims, padding=0),
        }
        if stem == "cifar":
            parts["norm2"] = norm(768, dims=dims)
        # The adaptive pooling does nothing at the papers' sizes, where one position is left.
        self.features = named(**parts, relu2=nn.ReLU(), flat=flat, flatten=nn.Flatten())
        self.classifier = nn.Linear(768, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, outputs) of features (N, channels, ...) of at least 8 (``imagenet``: 7)."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


class Network(nn.Module):
    """Stem, cells, and the head that the kind of data asks for (``search_spaces.heads``).

    Args:
        make_cell: builds the cell of a site; it decides what is searchable.
        data: input shape, kind and number of outputs.
        channels: of the first cells' nodes; doubled at every reduction.
        cells: how many; those at ``cells // 3`` and ``2 * cells // 3`` reduce.
        stem: ``cifar`` keeps the size, ``imagenet`` divides it by 8.
        auxiliary: whether to add the auxiliary head after the second reduction; its outputs are
            class scores.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        *,
        data: DataSpec,
        channels: int,
        cells: int,
        stem: Stem = "cifar",
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        make_stem = CifarStem if stem == "cifar" else ImageNetStem
        self.stem: CifarStem | ImageNetStem = make_stem(data.channels, channels, data.dims)
        before, previous = self.stem.outputs
        reductions = (cells // 3, 2 * cells // 3)
        after_reduction = stem == "imagenet"
        made: list[Cell] = []
        widths: list[int] = []
        for index in range(cells):
            reduction = index in reductions
            channels = 2 * channels if reduction else channels
            cell = make_cell(Site(before, previous, channels, reduction, after_reduction))
            made.append(cell)
            before, previous = previous, channels * len(cell.concat)
            widths.append(previous)
            after_reduction = reduction
        self.cells = nn.ModuleList(made)
        self.auxiliary_at = reductions[1]
        self.auxiliary: AuxiliaryHead | None = None
        if auxiliary:
            width = widths[self.auxiliary_at]
            self.auxiliary = AuxiliaryHead(width, data.outputs, stem, data.dims)
        self.pool, self.classifier, self.resize = head_of(data, previous)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) of inputs (N, C, ...), or (N, outputs, ...) for each position."""
        return self._run(x)[0]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the auxiliary head's logits, (N, outputs) each; for training.

        Raises ValueError for a network that was built without an auxiliary head.
        """
        if self.auxiliary is None:
            raise ValueError("this network has no auxiliary head")
        outputs, features = self._run(x)
        return outputs, self.auxiliary(features)

    def set_drop_path(self, probability: float) -> None:
        """Set the probability by which edges drop a sample while training."""
        for module in self.modules():
            if isinstance(module, DropPath):
                module.probability = probability

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before, previous = self.stem(x)
        features = previous
        for index, cell in enumerate(self.cells):
            before, previous = previous, cell(before, previous)
            if index == self.auxiliary_at:
                features = previous
        outputs: Tensor = self.resize(self.classifier(self.pool(previous)))
        return outputs, features


def derived_cell(plan: Plan, site: Site, dims: int) -> Cell:
    """The cell of a genotype at a site."""
    nodes = []
    for node, edges in enumerate(plan.nodes, start=2):
        modules = [
            candidate(
                operation(e.operation, site.channels, site.stride(e.input), dims=dims),
                edge_name(site.kind, e.input, node),
                e.operation,
            )
            for e in edges
        ]
        nodes.append(DerivedNode(modules, [edge.input for edge in edges]))
    return Cell(site, nodes, plan.concat, affine=True, dims=dims)


def derived_cells(cells: Cells, dims: int) -> MakeCell:
    """Builds the cell of a genotype for every site."""
    return lambda site: derived_cell(cells.of(site.kind), site, dims)
