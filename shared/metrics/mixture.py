"""Several classifiers' logits, added with the weights that suit held-out examples best."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, softmax

LARGEST_WEIGHT = 20.0


def fit_mixture(
    logits: Sequence[np.ndarray], targets: np.ndarray, several: bool = False
) -> list[float]:
    """Finds the weights of a sum of logits that make the targets likeliest.

    Stacked generalisation (Wolpert, 1992) with one weight per classifier; for one classifier it
    is temperature scaling (Guo et al., https://arxiv.org/abs/1706.04599), the weight being the
    temperature's inverse.

    Args:
        logits: float `(examples, classes)` for each classifier.
        targets: float `(examples, classes)`, 1 for the labels of each example and 0 elsewhere.
        several: Whether an example has any number of labels: the logits then are those of
            independent probabilities, not of a softmax.

    Returns:
        A weight for each classifier, from 0 to 20, not all 0.
    """
    stacked = np.stack([np.asarray(values, np.float64) for values in logits])
    targets = np.asarray(targets, np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.tensordot(weights, stacked, 1)
        if several:
            value = -(targets * log_expit(mixed) + (1 - targets) * log_expit(-mixed)).sum()
            error = expit(mixed) - targets
        else:
            value = -(targets * log_softmax(mixed, axis=1)).sum()
            error = softmax(mixed, axis=1) - targets
        return value / len(targets), np.tensordot(stacked, error, 2) / len(targets)

    # A weight of 0 for all would answer everything alike.
    bounds = [(1e-3, LARGEST_WEIGHT)] * len(stacked)
    start = np.full(len(stacked), 1 / len(stacked))
    return minimize(loss, start, jac=True, bounds=bounds).x.tolist()
