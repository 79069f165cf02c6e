"""Update rules: how the weights and the policy of a supernet move."""

from nas.strategies.base import Capturable, Phase, Update
from nas.strategies.bilevel import Bilevel
from nas.strategies.conditional_gates import ConditionalGates
from nas.strategies.conditional_pruning import ConditionalPruning
from nas.strategies.curriculum import Curriculum
from nas.strategies.derivation import (
    Candidates,
    ChecksRun,
    Derivation,
    Derived,
    ScoresPaths,
)
from nas.strategies.drawn import Drawn
from nas.strategies.joint import Joint
from nas.strategies.path_search import PathSearch
from nas.strategies.policy_search import PolicySearch
from nas.strategies.reinforce import Reinforce
from nas.strategies.rotation import Rotation
from nas.strategies.single_path import SinglePath

__all__ = [
    "Bilevel",
    "Candidates",
    "Capturable",
    "ChecksRun",
    "ConditionalGates",
    "ConditionalPruning",
    "Curriculum",
    "Derivation",
    "Derived",
    "Drawn",
    "Joint",
    "PathSearch",
    "Phase",
    "PolicySearch",
    "Reinforce",
    "Rotation",
    "ScoresPaths",
    "SinglePath",
    "Update",
]
