"""What acts on the steps of the weights, under any update rule."""

from nas.gradients.base import Transformed, WeightTransform
from nas.gradients.disturbance import Disturbance
from nas.gradients.orthogonal import Orthogonal

__all__ = ["Disturbance", "Orthogonal", "Transformed", "WeightTransform"]
