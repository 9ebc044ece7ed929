"""Metrics that need no TensorFlow: they take arrays, of this run or of an exported model."""

from shared.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability,
    uncalibrated,
)
from shared.metrics.classification import (
    ClassScores,
    classification_metrics,
    confusion,
    most_confused,
    per_class,
)
from shared.metrics.error_rates import AlignedWord, align_words, error_rates
from shared.metrics.label_sets import label_scores, label_set_metrics
from shared.metrics.mixture import fit_mixture
from shared.metrics.rejection import choose_rejection_threshold
from shared.metrics.spans import (
    Span,
    SpanScores,
    bio_spans,
    span_scores,
    understanding_metrics,
)

__all__ = [
    "AlignedWord",
    "ClassScores",
    "Reliability",
    "Span",
    "SpanScores",
    "align_words",
    "bio_spans",
    "choose_rejection_threshold",
    "classification_metrics",
    "confusion",
    "error_rates",
    "expected_calibration_error",
    "fit_mixture",
    "fit_temperature",
    "label_scores",
    "label_set_metrics",
    "most_confused",
    "per_class",
    "reliability",
    "span_scores",
    "uncalibrated",
    "understanding_metrics",
]
