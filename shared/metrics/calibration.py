"""How far a classifier's confidence can be trusted, and the one number that mends it.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017,
https://arxiv.org/abs/1706.04599.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

TEMPERATURE_RANGE = (0.05, 20.0)
_SUM_TOLERANCE = 1e-2  # a float16 softmax over a thousand classes stays well inside


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, in bins of equal width.

    Attributes:
        edges: float64 `(bins + 1,)`, from 0 to 1. Bin `i` holds `edges[i] < x <= edges[i + 1]`.
        confidence: float64 `(bins,)`, the mean confidence; NaN in an empty bin.
        accuracy: float64 `(bins,)`, the share of right answers; NaN in an empty bin.
        count: int64 `(bins,)`, the number of examples.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between confidence and accuracy, weighted by the examples in a bin."""
        filled = self.count > 0
        distance = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(distance, weights=self.count[filled]))


def checked_predictions(
    probabilities: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Checks a classifier's answers and takes the rounding error out of the rows' sums.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.

    Returns:
        `probabilities` as float64 with rows that sum to 1, and `targets` as int64.

    Raises:
        ValueError: On a wrong shape or dtype, no examples, fewer than two classes, a target that
            is no class index, or rows that are no probabilities.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    targets = _checked_targets(probabilities, targets, name="probabilities")
    sums = probabilities.sum(axis=1, keepdims=True)
    # Stated positively, so that NaN fails it too.
    valid = (probabilities >= 0).all(axis=1) & (np.abs(sums[:, 0] - 1) <= _SUM_TOLERANCE)
    if not valid.all():
        row = int(np.argmin(valid))
        raise ValueError(
            f"Row {row} of `probabilities` sums to {sums[row, 0]:.4g}, with a smallest value of "
            f"{probabilities[row].min():.4g}; expected non-negative values that sum to 1. "
            "Pass the softmax of the logits."
        )
    return probabilities / sums, targets


def reliability(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> Reliability:
    """Groups the answers by confidence, the largest probability of a row.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.
        bins: Number of bins of equal width between 0 and 1.

    Returns:
        The mean confidence, accuracy and number of examples of every bin.

    Raises:
        ValueError: If `bins` is below 1, or as `checked_predictions`.
    """
    if bins < 1:
        raise ValueError(f"`bins` is {bins}; expected at least 1.")
    probabilities, targets = checked_predictions(probabilities, targets)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.digitize(confidence, edges[1:-1], right=True)
    count = np.bincount(index, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    return Reliability(
        edges=edges,
        confidence=np.bincount(index, weights=confidence, minlength=bins) / divisor,
        accuracy=np.bincount(index, weights=correct, minlength=bins) / divisor,
        count=count,
    )


def expected_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, bins: int = 15
) -> float:
    """Mean distance between confidence and accuracy (Guo et al. 2017, equation 3).

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.
        bins: Number of bins of equal width between 0 and 1.

    Returns:
        A fraction from 0 (calibrated) to 1.

    Raises:
        ValueError: As `reliability`.
    """
    return reliability(probabilities, targets, bins).expected_calibration_error


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Finds the temperature that calibrates `softmax(logits / temperature)`.

    It minimises the negative log-likelihood, which has one minimum in the temperature (Guo et al.
    2017, section 4.2). Fit on validation data, never on the data that trained the model. The
    search is bounded by `TEMPERATURE_RANGE`: faultless predictions would ask for a temperature
    of 0, useless ones for infinity.

    Args:
        logits: float `(examples, classes)`, unnormalised scores.
        targets: int `(examples,)`, class indices.

    Returns:
        The temperature. Above 1 it softens an overconfident model; it never changes an answer.

    Raises:
        ValueError: On a wrong shape or dtype, no examples, fewer than two classes, a target that
            is no class index, or logits that are not finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    targets = _checked_targets(logits, targets, name="logits")
    if not np.isfinite(logits).all():
        raise ValueError(
            f"`logits` holds {np.sum(~np.isfinite(logits))} values that are not finite; "
            "expected the finite scores before the softmax. Look for a diverged training."
        )

    def negative_log_likelihood(log_temperature: float) -> float:
        log_probabilities = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(log_probabilities[np.arange(len(targets)), targets].mean())

    bounds = np.log(TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds).x))


def uncalibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The softmax as it was before its logits were divided by `temperature`.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        temperature: As `fit_temperature` found it.

    Returns:
        float64 `(examples, classes)`.
    """
    powers = np.maximum(probabilities.astype(np.float64), 1e-30) ** temperature
    return powers / powers.sum(axis=-1, keepdims=True)


def _checked_targets(scores: np.ndarray, targets: np.ndarray, name: str) -> np.ndarray:
    targets = np.asarray(targets)
    if scores.ndim != 2 or scores.shape[1] < 2 or targets.shape != scores.shape[:1]:
        raise ValueError(
            f"`{name}` has shape {scores.shape} and `targets` has shape {targets.shape}; expected "
            "(examples, classes) with two classes or more, and (examples,)."
        )
    if not len(targets):
        raise ValueError(f"`{name}` holds no examples; expected at least one.")
    if not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(f"`targets` has dtype {targets.dtype}; expected integer class indices.")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise ValueError(
            f"`targets` runs from {targets.min()} to {targets.max()}; expected class indices from "
            f"0 to {scores.shape[1] - 1}, the columns of `{name}`."
        )
    return targets.astype(np.int64)
