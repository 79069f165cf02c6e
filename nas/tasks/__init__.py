"""Tasks: the only part that knows what outputs and targets mean."""

from nas.tasks.base import Task
from nas.tasks.classification import Classification
from nas.tasks.multi_label import MultiLabel
from nas.tasks.regression import Regression
from nas.tasks.segmentation import Segmentation

__all__ = ["Classification", "MultiLabel", "Regression", "Segmentation", "Task"]
