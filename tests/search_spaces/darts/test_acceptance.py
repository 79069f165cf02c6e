"""The acceptance checks of DARTS (1 to 5) and PC-DARTS (1 to 6), by number.

Elsewhere: DARTS 1 for derived networks is test_named.py; DARTS 2 and 3 (second order) are
tests/nas/strategies/test_unrolled.py and test_bilevel.py; PC-DARTS 4 with optimizer steps is there
too; PC-DARTS 6 is test_edge_normalization.py.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.arch import Weights, k_hot
from nas.dataspec import DataSpec
from nas.policies import FreeLogits
from nas.relaxations import Live, Relaxation, Softmax
from nas.searchable import MixedOp, PartialChannels, apply_partial_channels
from nas.space import discretize
from nas.supernet import Supernet
from search_spaces.darts import DARTS_OPERATIONS, DartsSpace
from search_spaces.darts.cells import Site
from search_spaces.darts.searchable import SearchableCell

CIFAR = DataSpec((3, 32, 32), "classes", 10)
EDGES = [(i, node) for node in (2, 3, 4, 5) for i in range(node)]


def on_meta(k: int | None) -> Supernet:
    """The paper's supernet (C=16, 8 cells, 10 classes), without memory."""
    with torch.device("meta"):
        net = DartsSpace(CIFAR).supernet()
        if k is not None:
            apply_partial_channels(net, k)
        return Supernet(net)


@pytest.fixture(scope="module")
def supernets() -> dict[str, Supernet]:
    return {"darts": on_meta(None), "pc_darts": on_meta(4)}


def policy_of(
    supernet: Supernet, edge_weights: bool, relaxation: Relaxation | None = None, std: float = 1.0
) -> FreeLogits:
    decisions = {
        name: decision
        for name, decision in supernet.decisions.items()
        if edge_weights or name not in supernet.optional
    }
    return FreeLogits(decisions, relaxation or Softmax(), init_std=std)


def tiny(k: int | None, channels: int = 8) -> Supernet:
    space = DartsSpace(DataSpec((1, 8, 8), "classes", 3), channels=channels, cells=3)
    net = space.supernet()
    if k is not None:
        apply_partial_channels(net, k)
    return Supernet(net)


# DARTS


def test_darts_check_1_supernet_parameters_and_alphas(supernets: dict[str, Supernet]) -> None:
    supernet = supernets["darts"]
    assert sum(p.numel() for p in supernet.parameters()) == 1_930_618
    policy = policy_of(supernet, edge_weights=False)
    assert [tuple(p.shape) for p in policy.parameters()] == [(2 * 14, 8)]
    # two disjoint lists: the weights' optimizer can neither move nor decay an alpha
    assert not {id(p) for p in policy.parameters()} & {id(p) for p in supernet.parameters()}
    assert not any("alpha" in name for name in supernet.state_dict())


class Sigmoid:
    """What FairDARTS does, and no distribution: for showing that check 4 sees it."""

    soft = True

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        return logits.sigmoid(), [tuple(range(logits.shape[1]))] * len(logits)


def row_sums(k: int | None, relaxation: Relaxation) -> tuple[float, float]:
    """The largest row sum of the gradient of any logit tensor, and its largest entry."""
    supernet = tiny(k)
    policy = policy_of(supernet, edge_weights=k is not None, relaxation=relaxation)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    F.cross_entropy(supernet(x, policy().arch), y).backward()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert len(gradients) == len(list(policy.parameters()))
    sums = max(float(g.sum(-1).abs().max()) for g in gradients)
    return sums, min(float(g.abs().max()) for g in gradients)


@pytest.mark.parametrize("k", [None, 4])
def test_darts_check_4_gradients_of_an_edge_sum_to_zero(k: int | None) -> None:
    sums, size = row_sums(k, Softmax())
    assert sums < 1e-6
    assert size > 1e-4  # and are not all zero
    sums, _ = row_sums(k, Sigmoid())
    assert sums > 1e-4


HAND_MADE = {  # rows of the three edges into node 3, whose raw and softmax orders differ
    0: [1, 1, 1, 1, 5, 1, 1, 1],
    1: [10, 10, 10, 11, 10, 10, 10, 10],
    2: [10, 15, 10, 10, 10, 10, 10, 10],
}


def test_darts_check_5_edges_are_ranked_after_the_softmax(supernets: dict[str, Supernet]) -> None:
    policy = policy_of(supernets["darts"], edge_weights=False)
    for kind, (i, row) in product(("normal", "reduce"), HAND_MADE.items()):
        policy.logits(f"{kind}/{i}->3")[:] = torch.tensor(row, dtype=torch.float32)
    found = discretize(DartsSpace(CIFAR), policy.probabilities())
    for kind in ("normal", "reduce"):
        assert found[f"{kind}/node3/inputs"] == (0, 2)
        assert found[f"{kind}/0->3"] == DARTS_OPERATIONS[4]
        assert found[f"{kind}/2->3"] == DARTS_OPERATIONS[1]
    # raw logits would rank edges 2 and 1 first: the mistake this check is about
    raw = {n: Weights(policy.logits(n), tuple(range(8))) for n in policy.decisions}
    assert discretize(DartsSpace(CIFAR), raw)["normal/node3/inputs"] == (1, 2)


# PC-DARTS


def index_map(channels: int, k: int) -> list[tuple[str, int]]:
    """Where output channel j comes from: which channel of the operated part or of the bypass."""
    found = []
    for j in range(channels):
        bypassed = (j % k - 1) * (channels // k) + j // k
        found.append(("operated", j // k) if j % k == 0 else ("bypass", bypassed))
    return found


def partial_edge(channels: int, k: int, reduction: bool) -> tuple[Supernet, str]:
    """One edge of a cell of the space, with partial channels, and its decision's name."""
    cell = SearchableCell(1, DARTS_OPERATIONS, 2, affine=False, normalized_pooling=True)(
        Site(channels, channels, channels, reduction, after_reduction=False)
    )
    apply_partial_channels(cell, k)
    edge = cell.nodes[0].edges[0]
    assert isinstance(edge, PartialChannels)
    return Supernet(edge), f"{'reduce' if reduction else 'normal'}/0->2"


@pytest.mark.parametrize(("channels", "k"), [(16, 4), (16, 2), (32, 8), (6, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_pc_darts_check_1_channels_under_none_bit_for_bit(
    channels: int, k: int, stride: int, size: int
) -> None:
    edge, name = partial_edge(channels, k, reduction=stride == 2)
    x = torch.randn(2, channels, size, size)
    out = edge(x, {name: k_hot(edge.decisions[name], [[DARTS_OPERATIONS.index("none")]])})
    bypass = x[:, channels // k :]
    if stride == 2:
        bypass = F.max_pool2d(bypass, 2, ceil_mode=True)
    for j, (part, place) in enumerate(index_map(channels, k)):
        expected = bypass[:, place] if part == "bypass" else torch.zeros_like(bypass[:, 0])
        assert torch.equal(out[:, j], expected), j
    if (channels, k) == (16, 4):
        zero = [j for j in range(16) if not out[:, j].any()]
        assert zero == [0, 4, 8, 12]


def test_pc_darts_check_1_the_operated_channels_are_the_first() -> None:
    channels, k = 16, 4
    edge, name = partial_edge(channels, k, reduction=False)
    x = torch.randn(2, channels, 6, 6)
    skip = k_hot(edge.decisions[name], [[DARTS_OPERATIONS.index("skip_connect")]])
    out = edge(x, {name: skip})
    for j, (part, place) in enumerate(index_map(channels, k)):
        source = place if part == "operated" else channels // k + place
        assert torch.equal(out[:, j], x[:, source])


def test_pc_darts_check_1_operations_are_built_on_a_kth_of_the_channels() -> None:
    edge, _ = partial_edge(16, 4, reduction=False)
    mixed = edge.net.inner
    assert isinstance(mixed, MixedOp)
    assert mixed.channels == 4
    assert mixed.ops["sep_conv_3x3"].pointwise1.weight.shape == (4, 4, 1, 1)


def test_pc_darts_check_2_supernet_parameters(supernets: dict[str, Supernet]) -> None:
    supernet = supernets["pc_darts"]
    assert sum(p.numel() for p in supernet.parameters()) == 299_578
    policy = policy_of(supernet, edge_weights=True)
    shapes = {name: tuple(p.shape) for name, p in policy.stacks.items()}
    assert shapes.pop("alpha_8") == (28, 8)
    assert shapes == {f"alpha_{node}_pick2": (2, node) for node in (2, 3, 4, 5)}


def test_pc_darts_check_2_edge_weights_sum_to_one_at_each_node(
    supernets: dict[str, Supernet],
) -> None:
    arch = policy_of(supernets["pc_darts"], edge_weights=True, std=3.0)().arch
    for kind, node in product(("normal", "reduce"), (2, 3, 4, 5)):
        weights = arch[f"{kind}/node{node}/inputs"]
        assert isinstance(weights, Weights)
        assert weights.row.shape == (node,)
        assert weights.row.sum().item() == pytest.approx(1, abs=1e-6)


def test_pc_darts_check_2_edge_weights_multiply_edges() -> None:
    """A node with nothing but skips is the weighted sum of its inputs."""
    cell = SearchableCell(2, ("skip_connect",), 2, affine=False, normalized_pooling=True)(
        Site(4, 4, 4, reduction=False, after_reduction=False)
    )
    node = Supernet(cell.nodes[1])
    policy = FreeLogits(node.decisions, Softmax(), init_std=2.0)
    states = [torch.randn(2, 4, 3, 3) for _ in range(3)]
    b = policy.logits("normal/node3/inputs")[0].softmax(0)
    expected = sum(b[i] * states[i] for i in range(3))
    torch.testing.assert_close(node(states, policy().arch), expected)
    only_alphas = policy_of(node, edge_weights=False)
    torch.testing.assert_close(node(states, only_alphas().arch), states[0] + states[1] + states[2])


def saved_bytes(supernet: Supernet, edge_weights: bool) -> int:
    """Bytes that autograd keeps for the backward of one forward of an image, each storage once."""
    weights = {p.untyped_storage()._cdata for p in supernet.parameters()}
    kept: dict[int, Tensor] = {}  # holding the tensors keeps addresses from being used again

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in weights:
            kept[storage] = tensor
        return tensor

    arch = policy_of(supernet, edge_weights)().arch
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        supernet(torch.randn(1, 3, 32, 32), arch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_pc_darts_check_3_saved_activations_shrink_by_about_three() -> None:
    # Run, since shapes of normalizations on the meta device take a minute in Python.
    whole = saved_bytes(Supernet(DartsSpace(CIFAR).supernet()), edge_weights=False)
    net = DartsSpace(CIFAR).supernet()
    apply_partial_channels(net, 4)
    partial = saved_bytes(Supernet(net), edge_weights=True)
    assert 2.5 <= whole / partial <= 4
    assert whole / partial == pytest.approx(3.15, abs=0.02)
    assert (round(whole / 1e6), round(partial / 1e6)) == (126, 40)


def test_pc_darts_check_5_derivation_uses_the_product(supernets: dict[str, Supernet]) -> None:
    policy = policy_of(supernets["pc_darts"], edge_weights=True, std=0.0)
    for i, top in enumerate((3.0, 2.0, 1.0)):  # by p alone: edges 0 and 1 of node 3
        policy.logits(f"normal/{i}->3")[0, 4 + i] = top
    policy.logits("normal/node3/inputs")[:] = torch.tensor([[-3.0, 0.0, 1.0]])
    arch = policy.probabilities()
    found = discretize(DartsSpace(CIFAR), arch)
    assert found["normal/node3/inputs"] == (1, 2)
    assert found["normal/1->3"] == DARTS_OPERATIONS[5]
    assert found["normal/2->3"] == DARTS_OPERATIONS[6]
    without = {name: weights for name, weights in arch.items() if "inputs" not in name}
    assert discretize(DartsSpace(CIFAR), without)["normal/node3/inputs"] == (0, 1)
    # and an edge of the smallest b wins by its p
    for i, row in enumerate((3.0, 0.0, 0.0)):
        policy.logits(f"normal/{i}->3")[:] = torch.tensor([[0, 0, 0, 0, row, 0, 0, 0]])
    policy.logits("normal/node3/inputs")[:] = torch.tensor([[0.0, 0.2, 1.0]])
    assert discretize(DartsSpace(CIFAR), policy.probabilities())["normal/node3/inputs"] == (0, 2)


def test_none_is_read_by_the_softmax_and_never_derived(supernets: dict[str, Supernet]) -> None:
    space = DartsSpace(CIFAR)
    policy = policy_of(supernets["darts"], edge_weights=False, std=1e-3)
    for i, node in EDGES:
        policy.logits(f"normal/{i}->{node}")[0, 0] = 5.0
    policy.logits("normal/0->5")[0, 0] = 0.0
    policy.logits("normal/3->5")[0, 0] = 0.0
    found = discretize(space, policy.probabilities())
    assert found["normal/node5/inputs"] == (0, 3)
    assert "none" not in found.values()
