"""Policies own every architecture parameter and hand out weights for all decisions."""

from nas.policies.base import Policy, Sample, SampledPolicy
from nas.policies.conditional_logits import Conditional, ConditionalLogits, conditional
from nas.policies.controller import Controller
from nas.policies.fixed import Fixed
from nas.policies.free_logits import FreeLogits
from nas.policies.split import Split, parameter_groups
from nas.policies.threshold_gates import ThresholdGates, check_single
from nas.policies.uniform import Uniform

__all__ = [
    "Conditional",
    "ConditionalLogits",
    "Controller",
    "Fixed",
    "FreeLogits",
    "Policy",
    "Sample",
    "SampledPolicy",
    "Split",
    "ThresholdGates",
    "Uniform",
    "check_single",
    "conditional",
    "parameter_groups",
]
