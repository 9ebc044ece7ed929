"""Metrics that need no TensorFlow: they take arrays, of this run or of an exported model."""

from shared.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from shared.metrics.classification import (
    ClassScores,
    classification_metrics,
    confusion,
    most_confused,
    per_class,
)

__all__ = [
    "ClassScores",
    "Reliability",
    "classification_metrics",
    "confusion",
    "expected_calibration_error",
    "fit_temperature",
    "most_confused",
    "per_class",
    "reliability",
]
