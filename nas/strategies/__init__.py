"""Update rules: how the weights and the policy of a supernet move."""

from nas.strategies.base import Capturable, Phase, Update
from nas.strategies.bilevel import Bilevel

__all__ = ["Bilevel", "Capturable", "Phase", "Update"]
