import torch

from nas.arch import Weights
from nas.decision import Choice, Decision
from nas.policies import Fixed, FreeLogits, Policy, Sample, Uniform
from nas.relaxations import Gumbel

DECISIONS = {
    d.name: d
    for d in (
        Decision("op", ("a", "b", "c")),
        Decision("inputs", (0, 1, 2), pick=2),
        Decision("width", (1, 2, 4), kind="nested", groups=2),
    )
}
GENOTYPE: dict[str, Choice] = {"op": "b", "inputs": (0, 2), "width": (4, 1)}


def policies() -> list[Policy]:
    return [
        FreeLogits(DECISIONS, Gumbel(hard=False)),
        FreeLogits(DECISIONS, Gumbel()),
        Uniform(DECISIONS),
        Fixed(DECISIONS, GENOTYPE),
    ]


def test_every_policy_gives_weights_for_all_its_decisions() -> None:
    for policy in policies():
        assert isinstance(policy, Policy)
        assert dict(policy.decisions) == DECISIONS
        for arch in (policy().arch, policy.probabilities()):
            for name, d in DECISIONS.items():
                weights = arch[name]
                assert isinstance(weights, Weights)
                assert weights.values.shape == (d.groups, len(d))
                assert set(weights.values.sum(0).nonzero().flatten().tolist()) <= {*weights.live}
                assert policy.mask(name).shape == (d.groups, len(d))
                assert policy.mask(name).device.type == "cpu"


def test_gradients_flow_through_the_weights_so_that_samples_have_no_probability() -> None:
    for policy in policies():
        sample = policy()
        assert float(sample.log_prob) == 0.0
        assert float(sample.entropy) == 0.0


def test_a_detached_sample_is_outside_the_graph() -> None:
    inside = torch.ones(1, 2, requires_grad=True)
    sample = Sample({"a": Weights(inside * 1, (0, 1))}, inside.sum(), inside.mean()).detach()
    weights = sample.arch["a"]
    assert isinstance(weights, Weights)
    assert not any(t.requires_grad for t in (weights.values, sample.log_prob, sample.entropy))
