"""Metrics of examples that have any number of labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support

from shared.metrics.classification import ClassScores

_SMALLEST = 1e-12


def label_set_metrics(
    probabilities: np.ndarray, targets: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Computes the metrics of a classifier that may give several labels.

    Args:
        probabilities: float `(examples, classes)`, each between 0 and 1.
        targets: `(examples, classes)`, 1 for the labels of an example and 0 elsewhere.
        threshold: Probability from which a label is given.

    Returns:
        `accuracy`, the share of examples whose labels are all right; `micro_f1` over all labels
        and `macro_f1`, its mean over the classes found among targets or answers; as fractions.
        `loss` is the mean cross-entropy of each label in nats.

    Raises:
        ValueError: If the shapes differ or there are no examples.
    """
    if probabilities.shape != targets.shape or not len(targets):
        raise ValueError(
            f"`probabilities` are {probabilities.shape} and `targets` {targets.shape}; expected "
            "the same shape (examples, classes) and at least one example."
        )
    given, wanted = probabilities >= threshold, np.asarray(targets) > 0.5
    chance = np.clip(probabilities.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    options: dict[str, Any] = {"labels": _columns(targets), "zero_division": np.nan}
    micro, macro = (f1_score(wanted, given, average=name, **options) for name in ("micro", "macro"))
    return {
        "accuracy": float((given == wanted).all(axis=1).mean()),
        # They are undefined where no label is wanted or given.
        "micro_f1": float(np.nan_to_num(micro)),
        "macro_f1": float(np.nan_to_num(macro)),
        "loss": float(-np.log(np.where(wanted, chance, 1 - chance)).mean()),
    }


def label_scores(
    probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str], threshold: float = 0.5
) -> list[ClassScores]:
    """Scores every label by itself.

    Args:
        probabilities: float `(examples, classes)`, each between 0 and 1.
        targets: `(examples, classes)`, 1 for the labels of an example and 0 elsewhere.
        labels: Names of the classes, in index order.
        threshold: Probability from which a label is given.

    Returns:
        One `ClassScores` for each label, in the same order.
    """
    scores = precision_recall_fscore_support(
        np.asarray(targets) > 0.5,
        probabilities >= threshold,
        labels=_columns(targets),
        zero_division=np.nan,
    )
    columns = zip(labels, *scores, strict=True)
    return [ClassScores(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in columns]


def _columns(targets: np.ndarray) -> list[int]:
    """The classes to score; scikit-learn takes a single column for two classes, 0 and 1."""
    classes = targets.shape[1]
    return list(range(classes)) if classes > 1 else [1]
