"""Gates by thresholds: values, gradients, what is derived from them, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from nas.arch import Weights
from nas.compression import Compressed, Compression
from nas.costs import BitOps
from nas.dataspec import DataSpec
from nas.decision import Decision
from nas.errors import ConfigError
from nas.objectives import LogCost
from nas.policies import ThresholdGates, check_single
from nas.space import blueprint, discretize
from nas.supernet import Supernet
from search_spaces.darts import DartsSpace
from search_spaces.superbit import BackboneSpace

BITS = Decision("bits", (2, 4, 8), "nested")
DATA = DataSpec((1, 8, 8), "classes", 4)


def resolved(policy: ThresholdGates, name: str, evidence: list[list[float]]) -> Weights:
    deferred = policy().arch[name]
    assert not isinstance(deferred, Weights)
    return deferred(torch.tensor(evidence))


def test_all_gates_are_open_at_the_first_evidence() -> None:
    policy = ThresholdGates({"bits": BITS}, temperature=0.05, margin=2.0)
    weights = resolved(policy, "bits", [[0.3, 0.2]])
    assert weights.values.tolist() == [[0.0, 0.0, 1.0]]
    torch.testing.assert_close(policy.threshold("bits").detach(), torch.tensor([[0.2, 0.1]]))
    (gradient,) = torch.autograd.grad(weights.gates()[0, 2], policy.threshold("bits"))
    slope = torch.sigmoid(torch.tensor(2.0)) * torch.sigmoid(torch.tensor(-2.0)) / 0.05
    torch.testing.assert_close(gradient, -slope.expand(1, 2))
    assert float(gradient.abs().min()) > 1e-3


@pytest.mark.parametrize(
    ("evidence", "index"), [([0.5, 0.5], 2), ([0.5, 0.1], 1), ([0.1, 0.5], 0), ([0.1, 0.1], 0)]
)
def test_a_gate_counts_where_those_before_it_are_open(evidence: list[float], index: int) -> None:
    policy = ThresholdGates({"bits": BITS})
    resolved(policy, "bits", [[1.0, 1.0]])
    with torch.no_grad():
        policy.threshold("bits").fill_(0.3)
    weights = resolved(policy, "bits", [evidence])
    assert weights.values.tolist() == [[float(i == index) for i in range(3)]]
    believed = policy.probabilities()["bits"]
    assert isinstance(believed, Weights)
    assert int(believed.row.argmax()) == index
    assert float(believed.row.sum()) == pytest.approx(1.0)
    assert float(believed.row.min()) >= 0


def test_the_later_gate_learns_nothing_behind_a_shut_one() -> None:
    policy = ThresholdGates({"bits": BITS})
    resolved(policy, "bits", [[1.0, 1.0]])
    with torch.no_grad():
        policy.threshold("bits").fill_(0.3)
    cost = resolved(policy, "bits", [[0.28, 0.35]]).expect(torch.tensor([2.0, 4.0, 8.0])).sum()
    (gradient,) = torch.autograd.grad(cost, policy.threshold("bits"))
    assert float(gradient[0, 0]) < 0
    assert float(gradient[0, 1]) == 0.0


def test_groups_share_thresholds_and_the_mean_of_their_gradients() -> None:
    decision = Decision("filters", (0, 1), "nested", groups=3)
    policy = ThresholdGates({"filters": decision}, temperature=0.1, margin=1.0)
    weights = resolved(policy, "filters", [[0.5], [0.9], [0.7]])
    torch.testing.assert_close(policy.threshold("filters").detach(), torch.tensor([[0.4]]))
    assert weights.values[:, 1].tolist() == [1.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(weights.values[:, 1].sum(), policy.threshold("filters"))
    slopes = [torch.sigmoid(torch.tensor(d)) for d in (1.0, 5.0, 3.0)]
    wanted = -sum(s * (1 - s) for s in slopes) / 0.1 / 3
    torch.testing.assert_close(gradient, wanted.reshape(1, 1))  # type: ignore[union-attr]


def test_a_step_on_the_cost_alone_raises_every_threshold() -> None:
    space = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 4}), Compression(filters=2))
    supernet = Supernet(space.supernet()).train()
    policy = ThresholdGates(supernet.decisions)
    before: dict[str, torch.Tensor] = {}
    for _ in range(2):
        supernet(torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), policy().arch)
        before = before or {n: policy.threshold(n).detach().clone() for n in policy.decisions}
    cost = BitOps(blueprint(space), (1, 8, 8))
    first = float(cost(supernet.realised()).detach())
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-3)
    torch.autograd.backward(LogCost(cost, 0.1).penalty(supernet.realised()))
    optimizer.step()
    for name in policy.decisions:
        assert bool((policy.threshold(name).detach() > before[name]).all()), name
    assert math.isfinite(first)


def test_a_genotype_is_derived_from_the_last_evidence() -> None:
    space = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 4}), Compression())
    supernet = Supernet(space.supernet()).train()
    policy = ThresholdGates(supernet.decisions)
    assert set(discretize(space, policy.probabilities()).values()) == {8}  # before anything is seen
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    supernet(x, policy().arch)
    name = next(n for n in policy.decisions if n.endswith("weight_bits"))
    with torch.no_grad():
        policy.threshold(name)[0, 0] = 1.0
    supernet(x, policy().arch)
    derived = discretize(space, policy.probabilities())
    assert derived[name] == 2
    realised = {n: w.values.argmax(-1).item() for n, w in supernet.realised().items()}
    assert {n: space.decisions[n].position(c) for n, c in derived.items()} == realised  # type: ignore[arg-type]


def test_its_state_holds_thresholds_and_evidence() -> None:
    one, other = ThresholdGates({"bits": BITS}), ThresholdGates({"bits": BITS})
    resolved(one, "bits", [[0.4, 0.2]])
    other.load_state_dict(one.state_dict())
    for a, b in zip(one.probabilities().values(), other.probabilities().values(), strict=True):
        assert isinstance(a, Weights)
        assert isinstance(b, Weights)
        assert torch.equal(a.values, b.values)


def test_what_has_no_evidence_is_refused() -> None:
    with pytest.raises(ConfigError, match="'a' is no ladder of nested candidates"):
        ThresholdGates({"a": Decision("a", ("x", "y"))})
    with pytest.raises(ConfigError, match="nothing to search"):
        ThresholdGates({})
    with pytest.raises(ConfigError, match="temperature must be above 0"):
        ThresholdGates({"bits": BITS}, temperature=0.0)
    with pytest.raises(ConfigError, match="cannot leave candidates out"):
        ThresholdGates({"bits": BITS}).set_mask("bits", [True, True, False])


def test_layers_that_share_a_decision_are_refused() -> None:
    base = DartsSpace(DATA, 4, 3, nodes=1, network_cells=3)
    supernet = Supernet(Compressed(base, Compression()).supernet())
    with pytest.raises(ConfigError, match=r"layers share decision .*strategy=pc_darts"):
        check_single(supernet)
