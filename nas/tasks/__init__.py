"""Tasks: the only part that knows what outputs and targets mean."""

from nas.tasks.base import Task
from nas.tasks.classification import Classification

__all__ = ["Classification", "Task"]
