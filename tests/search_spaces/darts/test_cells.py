from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search_spaces.darts.cells import Cell, Cells, DerivedNode, DropPath, Edge, Plan, Site
from search_spaces.ops import FactorizedReduce


class Record(nn.Module):
    """A node that remembers what it saw and returns the sum, scaled."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.seen: list[int] = []

    def forward(self, states: list[Tensor]) -> Tensor:
        self.seen.append(len(states))
        return self.scale * states[0]


def site(**changes: bool | int) -> Site:
    fields = {
        "before_previous": 6,
        "previous": 10,
        "channels": 4,
        "reduction": False,
        "after_reduction": False,
    }
    return Site(**{**fields, **changes})  # type: ignore[arg-type]


def test_only_the_inputs_of_a_reduction_cell_are_strided() -> None:
    assert [site(reduction=True).stride(source) for source in range(5)] == [2, 2, 1, 1, 1]
    assert [site().stride(source) for source in range(5)] == [1] * 5
    assert (site().kind, site(reduction=True).kind) == ("normal", "reduce")


def test_plans_are_found_by_kind() -> None:
    normal, reduce = Plan(((Edge("none", 0),),), (2,)), Plan(((Edge("none", 1),),), (2,))
    cells = Cells(normal, reduce)
    assert cells.of("normal") is normal
    assert cells.of("reduce") is reduce


def test_each_node_reads_all_states_before_it_and_the_output_concatenates_some() -> None:
    nodes = [Record(1.0), Record(2.0), Record(3.0)]
    cell = Cell(site(), nodes, (2, 4), affine=False, dims=2)
    out = cell(torch.randn(2, 6, 5, 5), torch.randn(2, 10, 5, 5))
    assert [node.seen for node in nodes] == [[2], [3], [4]]
    assert out.shape == (2, 8, 5, 5)
    torch.testing.assert_close(out[:, 4:], 3 * out[:, :4])


@pytest.mark.parametrize("affine", [False, True])
def test_inputs_are_brought_to_one_width_and_size(affine: bool) -> None:
    plain = Cell(site(), [Record(1.0)], (0, 1), affine=affine, dims=1)
    assert plain(torch.randn(2, 6, 7), torch.randn(2, 10, 7)).shape == (2, 8, 7)
    after = Cell(site(after_reduction=True), [Record(1.0)], (0, 1), affine=affine, dims=1)
    assert isinstance(after.preprocess0, FactorizedReduce)
    assert not isinstance(after.preprocess1, FactorizedReduce)
    assert after(torch.randn(2, 6, 7), torch.randn(2, 10, 4)).shape == (2, 8, 4)
    for cell in (plain, after):
        norms = [m for m in cell.modules() if isinstance(m, nn.BatchNorm1d)]
        assert len(norms) == 2
        assert all(norm.affine is affine for norm in norms)


# drop-path


def test_dropped_samples_are_zero_and_the_others_are_scaled_up() -> None:
    edge = DropPath()
    edge.probability = 0.25
    x = torch.rand(4000, 2, 3) + 1
    y = edge(x)
    kept = (y != 0).flatten(1).all(1)
    dropped = (y == 0).flatten(1).all(1)
    assert bool((kept | dropped).all())  # whole samples, never single features
    torch.testing.assert_close(y[kept], x[kept] / 0.75)
    # 4000 draws at 0.25: standard deviation 27
    assert abs(int(dropped.sum()) - 1000) < 5 * 27


@pytest.mark.parametrize(("training", "probability"), [(False, 0.5), (True, 0.0)])
def test_nothing_is_dropped_in_evaluation_or_at_probability_zero(
    training: bool, probability: float
) -> None:
    edge = DropPath().train(training)
    edge.probability = probability
    x = torch.randn(64, 3)
    assert edge(x) is x


def test_drop_path_keeps_the_expectation_and_the_dtype() -> None:
    edge = DropPath()
    edge.probability = 0.5
    y = edge(torch.ones(10_000, 1, dtype=torch.float64))
    assert y.dtype == torch.float64
    assert y.mean().item() == pytest.approx(1, abs=0.05)


def test_a_node_drops_each_edge_for_itself_and_never_an_identity() -> None:
    node = DerivedNode([nn.Identity(), nn.Flatten(1), nn.Flatten(1)], (0, 1, 1))
    node.drop.probability = 0.5
    zeros, ones = torch.zeros(4000, 3), torch.ones(4000, 3)
    assert torch.equal(node([ones, zeros]), ones)
    seen = node([zeros, ones])[:, 0]  # 0, 2 or 4: two edges of weight 2, each there or not
    shares = [(seen == value).double().mean().item() for value in (0, 2, 4)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.05)
    assert torch.equal(node.eval()([zeros, ones]), 2 * ones)
