"""Supernet and derived network against a second implementation, written from the definitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.arch import Weights
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.searchable import apply_partial_channels
from nas.space import sample
from nas.supernet import Supernet
from search_spaces.nasbench201 import EDGES, OPERATIONS, NasBench201Space

CIFAR = NasBench201Space(DataSpec((3, 32, 32), "classes", 10))
CONVS = {"nor_conv_1x1": 0, "nor_conv_3x3": 1}


def small(shape: tuple[int, ...] = (2, 8, 8), cells: int = 2) -> NasBench201Space:
    return NasBench201Space(
        DataSpec(shape, "classes", 5),
        channels=4,
        cells=cells,
        network_channels=4,
        network_cells=cells,
    )


class Reference:
    """The network of arXiv 2001.00326, section 2.1, as one function of a list of parameters."""

    def __init__(self, parameters: Iterator[Tensor], affine: bool, cells: int) -> None:
        self.parameters, self.affine, self.cells = parameters, affine, cells

    def batch_norm(self, x: Tensor, affine: bool = True) -> Tensor:
        axes = [0, *range(2, x.dim())]
        mean = x.mean(axes, keepdim=True)
        x = (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + 1e-5).sqrt()
        if not affine:
            return x
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * next(self.parameters).view(shape) + next(self.parameters).view(shape)

    def convolution(self, x: Tensor, padding: int, stride: int = 1) -> Tensor:
        function = F.conv1d if x.dim() == 3 else F.conv2d
        return function(x, next(self.parameters), stride=stride, padding=padding)

    def mean_of_neighbors(self, x: Tensor) -> Tensor:
        function = F.avg_pool1d if x.dim() == 3 else F.avg_pool2d
        counts = function(torch.ones_like(x), 3, 1, 1)
        return function(x, 3, 1, 1) / counts

    def operation(self, name: str, x: Tensor) -> Tensor:
        if name in CONVS:
            return self.batch_norm(self.convolution(x.relu(), CONVS[name]), self.affine)
        fixed = {"none": 0 * x, "skip_connect": x, "avg_pool_3x3": self.mean_of_neighbors(x)}
        return fixed[name]

    def cell(self, x: Tensor, weights: dict[tuple[int, int], dict[str, Tensor | float]]) -> Tensor:
        states = {0: x}
        for source, node in EDGES:
            for name, weight in weights[source, node].items():
                term = weight * self.operation(name, states[source])
                states[node] = states[node] + term if node in states else term
        return states[3]

    def reduction(self, x: Tensor) -> Tensor:
        branch = self.batch_norm(self.convolution(x.relu(), 1, stride=2))
        branch = self.batch_norm(self.convolution(branch.relu(), 1))
        # the mean of each pair of positions, of what is there at an odd end
        for axis in range(2, x.dim()):
            x = torch.stack([part.mean(axis) for part in x.split(2, axis)], axis)
        return branch + self.convolution(x, 0)

    def __call__(
        self, x: Tensor, weights: dict[tuple[int, int], dict[str, Tensor | float]]
    ) -> Tensor:
        x = self.batch_norm(self.convolution(x, 1))
        for stage in range(3):
            x = self.reduction(x) if stage else x
            for _ in range(self.cells):
                x = self.cell(x, weights)
        x = self.batch_norm(x).relu().flatten(2).mean(2)
        return F.linear(x, next(self.parameters), next(self.parameters))


def stirred(net: nn.Module) -> nn.Module:
    """In double precision, with no parameter at its initial zero or one."""
    with torch.no_grad():
        for parameter in net.double().parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 7, 5), (3, 16), (1, 9)])
def test_a_derived_network_computes_the_paper_s(shape: tuple[int, ...]) -> None:
    space = small(shape)
    for seed in range(3):
        genotype = sample(space, torch.Generator().manual_seed(seed))
        net = stirred(space.network(genotype))
        weights = {(i, j): {str(genotype[f"cell/{i}->{j}"]): 1.0} for i, j in EDGES}
        x = torch.randn(3, *shape, dtype=torch.float64)
        reference = Reference(iter(net.parameters()), affine=True, cells=2)
        torch.testing.assert_close(net(x), reference(x, weights), rtol=0, atol=1e-9)
        assert next(reference.parameters, None) is None


@pytest.mark.parametrize("edge_weights", [False, True])
@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 9)])
def test_the_supernet_computes_the_mixture_with_all_gradients(
    shape: tuple[int, ...], edge_weights: bool
) -> None:
    space = small(shape, cells=1)
    net = stirred(space.supernet())
    supernet = Supernet(net)
    logits = {
        name: torch.randn(len(decision), dtype=torch.float64, requires_grad=True)
        for name, decision in supernet.decisions.items()
        if edge_weights or name not in supernet.optional
    }
    arch = {n: Weights(v.softmax(0)[None], tuple(range(len(v)))) for n, v in logits.items()}
    weights: dict[tuple[int, int], dict[str, Tensor | float]] = {}
    for i, j in EDGES:
        inputs = logits.get(f"cell/node{j}/inputs")
        share = 1.0 if inputs is None else inputs.softmax(0)[i]
        row = logits[f"cell/{i}->{j}"].softmax(0)
        weights[i, j] = {name: share * row[k] for k, name in enumerate(OPERATIONS)}
    x = torch.randn(3, *shape, dtype=torch.float64)
    ours = supernet(x, arch)
    reference = Reference(iter(net.parameters()), affine=False, cells=1)
    theirs = reference(x, weights)
    assert next(reference.parameters, None) is None
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    wanted = [*logits.values(), *net.parameters()]
    pairs = zip(
        torch.autograd.grad(ours.square().sum(), wanted),
        torch.autograd.grad(theirs.square().sum(), wanted),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("operation", "parameters"), [("nor_conv_3x3", 1_531_546), ("skip_connect", 73_306)]
)
def test_the_two_known_sizes(operation: str, parameters: int) -> None:
    genotype = dict.fromkeys(CIFAR.decisions, operation)
    with torch.device("meta"):
        assert count_parameters(CIFAR.network(genotype)) == parameters


def test_the_paper_s_network_has_17_blocks_of_16_32_and_64_channels() -> None:
    with torch.device("meta"):
        net = CIFAR.network(dict.fromkeys(CIFAR.decisions, "nor_conv_1x1"))
    kinds = [type(cell).__name__ for cell in net.cells]
    assert kinds == [*["Cell"] * 5, *["ResidualReduction", *["Cell"] * 5] * 2]
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    widths = [shapes[f"cells.{i}.nodes.0.edges.0.conv.weight"][0] for i in range(17) if i % 6 != 5]
    assert widths == [16] * 5 + [32] * 5 + [64] * 5
    assert net.classifier.in_features == 64


@pytest.mark.parametrize(
    "open_edges", [(), ((0, 1),), ((1, 2), (2, 3)), ((0, 1), (0, 2), (1, 2))], ids=str
)
def test_a_cell_without_a_path_gives_constant_logits_and_still_trains(
    open_edges: tuple[tuple[int, int], ...],
) -> None:
    space = small()
    genotype = {
        f"cell/{i}->{j}": "nor_conv_3x3" if (i, j) in open_edges else "none" for i, j in EDGES
    }
    net = space.network(genotype)
    cell = net.cells[0]
    assert not cell(torch.randn(2, 4, 8, 8)).any()
    logits = net(torch.randn(6, 2, 8, 8))
    loss = F.cross_entropy(logits, torch.arange(6) % 5)
    loss.backward()  # type: ignore[no-untyped-call]
    # the reductions keep their own path: only what a cell passes on is zero
    assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-6)
    assert net.classifier.bias.grad is not None
    assert net.classifier.bias.grad.abs().sum() > 0
    assert count_macs(net, (2, 8, 8)) > 0


def test_a_searched_cell_normalizes_by_the_batch_in_eval_mode_too() -> None:
    net = small(cells=1).supernet().eval()
    searched = [m for m in net.cells[0].modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(searched) == 2 * len(EDGES)
    assert all(norm.running_mean is None and norm.weight is None for norm in searched)
    assert net.stem.norm.running_mean is not None
    derived = small(cells=1).network(dict.fromkeys(CIFAR.decisions, "nor_conv_1x1"))
    norms = [m for m in derived.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.affine and norm.running_mean is not None for norm in norms)


def test_alphas_are_one_row_per_edge_shared_by_all_cells() -> None:
    with torch.device("meta"):
        supernet = Supernet(CIFAR.supernet())
    alphas = {n: d for n, d in supernet.decisions.items() if n not in supernet.optional}
    policy = FreeLogits(alphas, Softmax())
    assert {key: tuple(stack.shape) for key, stack in policy.stacks.items()} == {"alpha_5": (6, 5)}
    assert list(policy.decisions) == [f"cell/{i}->{j}" for i, j in EDGES]
    assert supernet.optional == {"cell/node2/inputs", "cell/node3/inputs"}


def test_partial_channels_search_a_quarter_of_every_edge() -> None:
    space = small(cells=1)
    net = space.supernet()
    wrapped = apply_partial_channels(net, 4)
    assert len(wrapped) == 3 * len(EDGES)
    shapes = {
        tuple(p.shape[:2]) for n, p in net.named_parameters() if ".inner." in n and p.dim() == 4
    }
    assert shapes == {(1, 1), (2, 2), (4, 4)}
    supernet = Supernet(net)
    arch = FreeLogits(supernet.decisions, Softmax())().arch
    assert supernet(torch.randn(4, 2, 8, 8), arch).shape == (4, 5)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1)])
def test_reductions_round_odd_sizes_up(size: tuple[int, int]) -> None:
    block = small().network(dict.fromkeys(CIFAR.decisions, "none")).cells[2]
    out = block(torch.randn(2, 4, *size))
    assert out.shape == (2, 8, *(-(-s // 2) for s in size))
