import pytest
import torch

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import GenotypeError
from nas.policies import Fixed

DECISIONS = {d.name: d for d in (Decision("op", ("a", "b")), Decision("inputs", (0, 1, 2), pick=2))}


def test_the_weights_are_those_of_the_genotype_every_time() -> None:
    policy = Fixed(DECISIONS, {"op": "b", "inputs": (2, 0)})
    for arch in (policy().arch, policy().arch, policy.probabilities()):
        op, inputs = arch["op"], arch["inputs"]
        assert isinstance(op, Weights)
        assert isinstance(inputs, Weights)
        assert op.values.tolist() == [[0, 1]]
        assert op.index == 1
        assert inputs.values.tolist() == [[1, 0, 1]]
        assert inputs.live == (0, 2)


def test_decisions_that_the_genotype_omits_are_absent() -> None:
    policy = Fixed(DECISIONS, {"op": "a"})
    assert set(policy().arch) == set(policy.decisions) == {"op"}


def test_there_is_nothing_to_learn_and_the_weights_move_with_the_policy() -> None:
    policy = Fixed(DECISIONS, {"op": "a", "inputs": (0, 1)}).to(torch.float64)
    assert list(policy.parameters()) == []
    weights = policy().arch["op"]
    assert isinstance(weights, Weights)
    assert weights.values.dtype == torch.float64


def test_a_genotype_of_another_space_is_refused() -> None:
    with pytest.raises(GenotypeError, match="unknown candidate 'c'"):
        Fixed(DECISIONS, {"op": "c"})
