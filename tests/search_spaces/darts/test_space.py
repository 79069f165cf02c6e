from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import from_genotype
from nas.dataspec import DataSpec
from nas.decision import Choice
from nas.errors import GenotypeError, SpaceError
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.searchable import apply_partial_channels
from nas.space import (
    SearchSpace,
    check_genotype,
    discretize,
    enumerate_genotypes,
    fingerprint,
    sample,
    size,
)
from nas.supernet import Supernet
from search_spaces.darts import DARTS_OPERATIONS, DartsSpace

CIFAR = DataSpec((3, 32, 32), "classes", 10)
SPACE = DartsSpace(CIFAR)
seeds = st.integers(0, 2**31)


def drawn(space: DartsSpace, seed: int) -> dict[str, Choice]:
    return sample(space, torch.Generator().manual_seed(seed))


def without_norms(net: torch.nn.Module) -> None:
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())


@pytest.fixture(scope="module")
def searched() -> Supernet:
    """The paper's supernet, without memory."""
    with torch.device("meta"):
        return Supernet(SPACE.supernet())


# decisions


def test_it_is_a_search_space() -> None:
    assert isinstance(SPACE, SearchSpace)
    assert SPACE.name == "darts"


def test_decisions_stand_kind_by_kind_node_by_node_edges_before_inputs() -> None:
    expected = []
    for kind in ("normal", "reduce"):
        for node in (2, 3, 4, 5):
            expected += [f"{kind}/{i}->{node}" for i in range(node)]
            expected.append(f"{kind}/node{node}/inputs")
    assert list(SPACE.decisions) == expected
    edge, inputs = SPACE.decisions["normal/1->4"], SPACE.decisions["reduce/node4/inputs"]
    assert edge.candidates == DARTS_OPERATIONS[1:]
    assert (edge.kind, edge.pick, edge.groups, edge.soft) == ("alternatives", 1, 1, True)
    assert (inputs.candidates, inputs.pick) == ((0, 1, 2, 3), 2)


def test_the_supernet_adds_none_to_the_candidates_and_keeps_names_and_order(
    searched: Supernet,
) -> None:
    decisions = searched.decisions
    assert list(decisions) == list(SPACE.decisions)
    for name, decision in decisions.items():
        ours = SPACE.decisions[name].candidates
        assert decision.candidates == (ours if "inputs" in name else ("none", *ours))


def test_the_policy_stacks_alphas_normal_first_in_the_order_of_edges(searched: Supernet) -> None:
    alphas_only = {n: d for n, d in searched.decisions.items() if n not in searched.optional}
    policy = FreeLogits(alphas_only, Softmax())
    assert {k: tuple(v.shape) for k, v in policy.stacks.items()} == {"alpha_8": (28, 8)}
    policy.stacks["alpha_8"].data[:] = torch.arange(28.0)[:, None]
    edges = [(i, node) for node in (2, 3, 4, 5) for i in range(node)]
    for row, (kind, (i, node)) in enumerate(product(("normal", "reduce"), edges)):
        assert policy.logits(f"{kind}/{i}->{node}").unique().tolist() == [row]
    both = FreeLogits(searched.decisions, Softmax())
    assert {k: tuple(v.shape) for k, v in both.stacks.items()} == {
        "alpha_8": (28, 8),
        **{f"alpha_{node}_pick2": (2, node) for node in (2, 3, 4, 5)},
    }


def test_alphas_start_as_a_thousandth_of_standard_normal_and_shared_by_cells_of_a_kind(
    searched: Supernet,
) -> None:
    policy = FreeLogits(searched.decisions, Softmax(), seed=3)
    assert policy.stacks["alpha_8"].std().item() == pytest.approx(1e-3, rel=0.2)
    assert sum(p.numel() for p in policy.parameters()) == 2 * (14 * 8 + 14)
    # 8 cells of 14 edges and 4 nodes read these 28 + 8 decisions
    slots = [m for m in searched.modules() if type(m).__name__ == "Slot"]
    assert len(slots) == 8 * (14 + 4)


def test_the_fingerprint_depends_on_the_decisions_alone() -> None:
    same = DartsSpace(DataSpec((1, 8, 8), "classes", 10), channels=8, cells=5, network_cells=6)
    assert fingerprint(same) == fingerprint(SPACE)
    assert fingerprint(DartsSpace(CIFAR, nodes=3)) != fingerprint(SPACE)
    assert fingerprint(DartsSpace(CIFAR, operations=DARTS_OPERATIONS[:-1])) != fingerprint(SPACE)


# genotypes


@given(seed=seeds, nodes=st.integers(1, 5))
def test_discretizing_a_genotype_gives_it_back(seed: int, nodes: int) -> None:
    space = DartsSpace(CIFAR, nodes=nodes)
    genotype = drawn(space, seed)
    assert check_genotype(space, genotype) == genotype
    assert discretize(space, from_genotype(space.decisions, genotype)) == genotype


@given(seed=seeds)
def test_so_does_discretizing_it_over_the_supernets_candidates(seed: int) -> None:
    genotype = drawn(SPACE, seed)
    wider = {
        name: d if "inputs" in name else type(d)(name, ("none", *d.candidates))
        for name, d in SPACE.decisions.items()
    }
    assert discretize(SPACE, from_genotype(wider, genotype)) == genotype


@given(seed=seeds)
def test_text_and_cells_are_forms_of_the_same_genotype(seed: int) -> None:
    genotype = drawn(SPACE, seed)
    assert SPACE.parse(SPACE.format(genotype)) == genotype
    assert SPACE.from_cells(SPACE.to_cells(genotype)) == genotype


@given(seed=seeds)
def test_a_genotype_takes_the_inputs_of_all_nodes_and_the_edges_they_keep(seed: int) -> None:
    genotype = drawn(SPACE, seed)
    assert SPACE.active(genotype) == set(genotype)
    assert len(genotype) == 2 * 4 * 3
    for kind, node in product(("normal", "reduce"), (2, 3, 4, 5)):
        kept = genotype[f"{kind}/node{node}/inputs"]
        assert isinstance(kept, tuple)
        edges = {f"{kind}/{i}->{node}" for i in kept}
        assert {n for n in genotype if n.startswith(kind) and n.endswith(f"->{node}")} == edges


def test_missing_extra_and_unknown_choices_are_refused() -> None:
    genotype = drawn(SPACE, 0)
    lacking = {n: c for n, c in genotype.items() if n != "normal/0->2"}
    with pytest.raises(GenotypeError, match=r"lacks 1 decision.*normal/0->2"):
        check_genotype(SPACE, lacking)
    dropped = next(n for n in SPACE.decisions if n not in genotype)
    with pytest.raises(GenotypeError, match=f"inactive: {dropped}"):
        check_genotype(SPACE, {**genotype, dropped: "skip_connect"})
    with pytest.raises(GenotypeError, match="unknown candidate 'none'"):
        check_genotype(SPACE, {**genotype, "normal/0->2": "none"})
    with pytest.raises(GenotypeError, match="needs 2 distinct candidates"):
        check_genotype(SPACE, {**genotype, "normal/node4/inputs": (1, 1)})


@pytest.mark.parametrize(
    ("nodes", "operations"),
    [
        (1, ("none", "skip_connect")),
        (1, ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")),
        (2, ("skip_connect",)),
        (2, ("none", "skip_connect", "sep_conv_3x3")),
    ],
)
def test_size_is_the_number_of_genotypes(nodes: int, operations: tuple[str, ...]) -> None:
    space = DartsSpace(CIFAR, nodes=nodes, operations=operations)
    genotypes = [tuple(sorted(g.items())) for g in enumerate_genotypes(space)]
    assert len(set(genotypes)) == size(space)
    # the same by hand: ordered lists of (input, operation) pairs with different inputs, per node
    names = [op for op in operations if op != "none"]
    cell = 1
    for node in range(2, 2 + nodes):
        cell *= sum(len(names) ** 2 for _ in combinations(range(node), 2))
    assert size(space) == cell**2


def test_the_usual_space_has_the_size_of_the_paper() -> None:
    assert size(SPACE) == (180 * 49**4) ** 2


@given(seed=seeds)
def test_the_view_lists_what_the_cells_hold(seed: int) -> None:
    genotype = drawn(SPACE, seed)
    view = SPACE.view(genotype)
    assert set(view) == {"normal", "reduce"}
    for kind, nodes in view.items():
        for node, edges in enumerate(nodes, start=2):
            assert tuple(source for _, source in edges) == genotype[f"{kind}/node{node}/inputs"]
            for operation, source in edges:
                assert genotype[f"{kind}/{source}->{node}"] == operation


# networks of other shapes


@pytest.mark.parametrize("k", [None, 4])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 9, 7), (2, 5, 5), (1, 1, 1), (6, 64), (1, 33), (4, 1)]
)
def test_supernet_and_network_take_any_size_in_one_and_two_dimensions(
    shape: tuple[int, ...], k: int | None
) -> None:
    space = DartsSpace(
        DataSpec(shape, "classes", 4),
        channels=8,
        cells=3,
        nodes=2,
        network_channels=4,
        network_cells=3,
    )
    net = space.supernet()
    if k is not None:
        apply_partial_channels(net, k)
    supernet = Supernet(net)
    policy = FreeLogits(supernet.decisions, Softmax())
    x = torch.randn(2, *shape)
    logits = supernet(x, policy().arch)
    assert logits.shape == (2, 4)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in supernet.parameters())
    assert all(p.grad is not None for p in policy.parameters())
    network = space.network(discretize(space, policy.probabilities()))
    assert network(x).shape == (2, 4)


def test_the_imagenet_stem_brings_224_to_28_and_7() -> None:
    data = DataSpec((3, 224, 224), "classes", 1000)
    space = DartsSpace(data, cells=4, nodes=2, network_channels=48, network_cells=14)
    assert space.stem == "imagenet"
    assert space.auxiliary
    with torch.device("meta"):
        supernet = Supernet(space.supernet())
        network = space.build(space.named()["PC_DARTS_image"])
    without_norms(supernet)  # which are slow there
    without_norms(network)
    sizes: list[tuple[int, ...]] = []
    for cell in (*supernet.net.cells, *network.cells):
        cell.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[1:])))
    arch = FreeLogits(supernet.decisions, Softmax()).to("meta")().arch
    x = torch.empty(2, 3, 224, 224, device="meta")
    assert supernet(x, arch).shape == (2, 1000)
    logits, head = network.forward_with_auxiliary(x)
    assert logits.shape == head.shape == (2, 1000)
    # nodes x channels, doubled and halved in size at cells // 3 and 2 cells // 3
    searched = [(32, 28, 28), (64, 14, 14), (128, 7, 7), (128, 7, 7)]
    derived = [(192, 28, 28)] * 4 + [(384, 14, 14)] * 5 + [(768, 7, 7)] * 5
    assert sizes == searched + derived


def test_the_blueprint_is_the_network_with_every_choice_open() -> None:
    space = DartsSpace(CIFAR, channels=4, network_channels=8, network_cells=4)
    with torch.device("meta"):
        blueprint = space.blueprint()
    supernet = Supernet(blueprint)
    assert len(blueprint.cells) == 4
    norms = [m for m in blueprint.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(norm.affine for norm in norms)
    pools = [m for n, m in blueprint.named_modules() if n.endswith("avg_pool_3x3")]
    assert pools
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for p in pools for part in p.modules())
    genotype = drawn(space, 1)
    frozen = supernet.freeze(from_genotype(supernet.decisions, genotype))
    own = sum(p.numel() for p in frozen.parameters())
    network = space.network(genotype)
    head = sum(p.numel() for p in network.auxiliary.parameters())
    assert own == sum(p.numel() for p in network.parameters()) - head


# stems, the auxiliary head, mistakes


@pytest.mark.parametrize(
    ("size", "stem"), [(8, "cifar"), (64, "cifar"), (127, "cifar"), (128, "imagenet")]
)
def test_the_stem_is_chosen_by_the_smaller_side(size: int, stem: str) -> None:
    assert DartsSpace(DataSpec((3, size, 300), "classes", 5)).stem == stem
    assert DartsSpace(DataSpec((3, size), "classes", 5)).stem == stem


@pytest.mark.parametrize(
    ("shape", "stem", "on"),
    [
        ((3, 32, 32), "auto", True),
        ((3, 29, 40), "auto", True),
        ((3, 28, 28), "auto", False),
        ((1, 8, 8), "auto", False),
        ((4, 29), "auto", True),
        ((4, 16), "auto", False),
        ((3, 224, 224), "auto", True),
        ((3, 193, 193), "imagenet", True),
        ((3, 192, 192), "imagenet", False),
    ],
)
def test_the_auxiliary_head_is_off_where_features_are_too_small_and_says_so(
    shape: tuple[int, ...], stem: str, on: bool
) -> None:
    data = DataSpec(shape, "classes", 5)
    space = DartsSpace(data, network_channels=2, network_cells=3, stem=stem)  # type: ignore[arg-type]
    assert space.auxiliary is on
    assert len(space.notes) == (not on)
    genotype = drawn(space, 0)
    with torch.device("meta"):
        network = space.network(genotype)
    if on:
        x = torch.empty(2, *shape, device="meta")
        assert network.forward_with_auxiliary(x)[1].shape == (2, 5)
    else:
        assert space.notes[0].startswith("auxiliary head off: it needs features of")
        assert network.auxiliary is None


def test_an_auxiliary_head_that_was_not_wanted_needs_no_note() -> None:
    space = DartsSpace(DataSpec((1, 32, 32), "classes", 5), auxiliary=False)
    assert not space.auxiliary
    assert space.notes == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"operations": ("none", "sep_conv_3x4")},
            "unknown operation 'sep_conv_3x4'.*did you mean",
        ),
        ({"operations": ("none",)}, "at least one operation besides none"),
        ({"operations": ()}, "at least one operation besides none"),
        ({"operations": ("skip_connect", "skip_connect")}, "must be distinct"),
        ({"cells": 2}, "space.cells must be at least 3"),
        ({"network_cells": 0}, "space.network_cells must be at least 3"),
        ({"nodes": 0}, "space.nodes must be at least 1"),
        ({"stem": "big"}, "space.stem must be auto, cifar or imagenet, got 'big'"),
        (
            {"data": DataSpec((3, 8, 8), "image", 3, output_size=(16, 16))},
            "outputs of its inputs' size 8x8, the data has 16x16; choose a space",
        ),
        (
            {"data": DataSpec((3, 8), "classes", 3), "operations": ("conv_7x1_1x7",)},
            "defined for 2-D inputs only",
        ),
    ],
)
def test_mistakes_in_the_settings(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        DartsSpace(**{"data": CIFAR, **arguments})  # type: ignore[arg-type]


def test_multi_label_data_is_fine() -> None:
    space = DartsSpace(DataSpec((3, 8, 8), "multi-label", 3), network_channels=2, network_cells=3)
    assert space.network(drawn(space, 0))(torch.randn(2, 3, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize("kind", ["dense", "image"])
@pytest.mark.parametrize("k", [None, 4])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (2, 33), (1, 1)])
def test_outputs_at_positions_have_the_size_of_the_input(
    kind: Any, k: int | None, shape: tuple[int, ...]
) -> None:
    space = DartsSpace(
        DataSpec(shape, kind, 5),
        channels=8,
        cells=3,
        nodes=1,
        network_channels=4,
        network_cells=3,
    )
    net = space.supernet()
    if k is not None:
        apply_partial_channels(net, k)
    supernet = Supernet(net)
    policy = FreeLogits(supernet.decisions, Softmax())
    x = torch.randn(2, *shape)
    output = supernet(x, policy().arch)
    assert output.shape == (2, 5, *shape[1:])
    output.square().sum().backward()
    assert all(p.grad is not None for p in supernet.parameters())
    assert all(p.grad is not None for p in policy.parameters())
    genotype = discretize(space, policy.probabilities())
    assert space.network(genotype)(x).shape == (2, 5, *shape[1:])
    arch = from_genotype(supernet.decisions, genotype, like=x)
    frozen = supernet.freeze(arch).eval()
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), supernet.eval()(x, arch))


@pytest.mark.parametrize("kind", ["dense", "image"])
def test_there_is_no_auxiliary_head_for_outputs_at_positions_and_a_note_says_so(kind: Any) -> None:
    space = DartsSpace(DataSpec((3, 32, 32), kind, 5), network_channels=2, network_cells=3)
    assert not space.auxiliary
    assert space.notes == [
        f"auxiliary head off: it gives one score per class, the data is of kind {kind!r}"
    ]
    assert space.network(drawn(space, 0)).auxiliary is None
    assert DartsSpace(DataSpec((3, 32, 32), kind, 5), auxiliary=False).notes == []


def test_channels_that_k_does_not_divide_are_named_with_the_remedy() -> None:
    net = DartsSpace(CIFAR, channels=6, cells=3, nodes=1).supernet()
    with pytest.raises(SpaceError, match=r"6 channels at 'cells.0.*k=4; choose .*space.channels"):
        apply_partial_channels(net, 4)


# the page


def test_parameters_come_in_the_order_that_the_page_states(searched: Supernet) -> None:
    net = searched.net
    expected: list[torch.nn.Parameter] = [*net.stem.parameters()]
    for cell in net.cells:
        expected += [*cell.preprocess0.parameters(), *cell.preprocess1.parameters()]
        for node, source in ((n, i) for n in range(4) for i in range(2 + n)):
            ops = cell.nodes[node].edges[source].ops
            for name in DARTS_OPERATIONS:
                expected += ops[name].parameters()
    expected += net.classifier.parameters()
    assert [id(p) for p in net.parameters()] == [id(p) for p in expected]
    separable = net.cells[0].nodes[2].edges[1].ops["sep_conv_5x5"]
    assert [name for name, _ in separable.named_parameters()] == [
        f"{part}{number}.weight" for number in (1, 2) for part in ("depthwise", "pointwise")
    ]


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "spaces" / "darts.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/spaces/darts.md", "exec"), names)
    policy, alphas, betas = names["policy"], names["alphas"], names["betas"]
    stacked = torch.cat([alphas["normal"], alphas["reduce"]]).double()
    assert torch.equal(policy.stacks["alpha_8"].detach(), stacked)
    for node, first in ((2, 0), (3, 2), (4, 5), (5, 9)):
        rows = torch.stack([betas[kind][first : first + node] for kind in ("normal", "reduce")])
        assert torch.equal(policy.stacks[f"alpha_{node}_pick2"].detach(), rows.double())
    assert all(
        torch.equal(p.detach(), names["weights"][name])
        for name, p in names["net"].named_parameters()
    )
    assert all(gradient.abs().sum() > 0 for gradient in names["by_weight"].values())
    assert names["by_alpha"].abs().sum() > 0
    assert [tuple(g.shape) for g in names["by_beta"]] == [(2, 2), (2, 3), (2, 4), (2, 5)]


def test_names_on_the_page_exist(searched: Supernet) -> None:
    names = set(searched.net.state_dict())
    for name in (
        "cells.3.preprocess0.conv1.weight",
        "cells.0.nodes.2.edges.1.ops.dil_conv_3x3.depthwise.weight",
        "cells.0.nodes.2.edges.1.ops.max_pool_3x3.norm.running_var",
        "cells.2.nodes.2.edges.1.ops.skip_connect.conv2.weight",
        "cells.5.nodes.3.edges.4.ops.sep_conv_5x5.pointwise2.weight",
        "cells.7.preprocess1.norm.running_mean",
        "classifier.bias",
    ):
        assert name in names
    with torch.device("meta"):
        net = DartsSpace(CIFAR, cells=3, nodes=3).supernet()
        apply_partial_channels(net, 4)
    assert "cells.0.nodes.2.edges.1.inner.ops.sep_conv_3x3.depthwise1.weight" in net.state_dict()
