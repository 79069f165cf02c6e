"""Knobs that change between epochs; they never touch weights."""

from nas.schedules.base import Schedule
from nas.schedules.learning_rate import CosineLearningRate
from nas.schedules.temperature import Temperature

__all__ = ["CosineLearningRate", "Schedule", "Temperature"]
