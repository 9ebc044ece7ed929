"""Metrics of a classifier, from its probabilities and the true classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from shared.metrics.calibration import checked_predictions, expected_calibration_error


@dataclass(frozen=True)
class ClassScores:
    """How well one class is recognised.

    Attributes:
        label: Name of the class.
        precision: Share of the answers with this class that are right; NaN without such answers.
        recall: Share of the examples of this class that are found; NaN without such examples.
        f1: Harmonic mean of both; NaN if the class is neither an answer nor a target.
        support: Number of examples of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def classification_metrics(
    probabilities: np.ndarray, targets: np.ndarray, *, top_k: int = 5
) -> dict[str, float]:
    """Computes the metrics that every classifier reports.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.
        top_k: Number of best answers among which `top_k_accuracy` looks for the target; at most
            the number of classes counts.

    Returns:
        `accuracy`, `top_k_accuracy`, `macro_f1` (the mean over the classes found among targets or
        answers) and `calibration_error` as fractions, and `loss`, the cross-entropy in nats.

    Raises:
        ValueError: If `top_k` is below 1, or as `checked_predictions`.
    """
    probabilities, targets = checked_predictions(probabilities, targets)
    answers = probabilities.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(targets, answers)),
        "top_k_accuracy": _top_k_accuracy(probabilities, targets, top_k),
        "macro_f1": float(f1_score(targets, answers, average="macro", zero_division=0)),
        "calibration_error": expected_calibration_error(probabilities, targets),
        "loss": float(log_loss(targets, probabilities, labels=np.arange(probabilities.shape[1]))),
    }


def per_class(
    probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str]
) -> list[ClassScores]:
    """Scores every class by itself.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.
        labels: Names of the classes, in index order.

    Returns:
        One `ClassScores` for each label, in the same order.

    Raises:
        ValueError: If there is not one label for each class, or as `checked_predictions`.
    """
    probabilities, targets = checked_predictions(probabilities, targets)
    _check_labels(labels, classes=probabilities.shape[1])
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, probabilities.argmax(axis=1), labels=np.arange(len(labels)), zero_division=np.nan
    )
    columns = zip(labels, precision, recall, f1, support, strict=True)
    return [ClassScores(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in columns]


def confusion(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Counts the answers given to each class.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.

    Returns:
        int64 `(classes, classes)`. Rows are true classes, columns are answers.

    Raises:
        ValueError: As `checked_predictions`.
    """
    probabilities, targets = checked_predictions(probabilities, targets)
    classes = np.arange(probabilities.shape[1])
    matrix = confusion_matrix(targets, probabilities.argmax(axis=1), labels=classes)
    return np.asarray(matrix, dtype=np.int64)


def most_confused(
    matrix: np.ndarray, labels: Sequence[str], most: int = 10
) -> list[tuple[str, str, int]]:
    """Lists the commonest mistakes.

    Args:
        matrix: int `(classes, classes)`, as `confusion` returns it.
        labels: Names of the classes, in index order.
        most: Largest number of mistakes to list.

    Returns:
        True label, answered label and count of at most `most` pairs, the commonest first; equal
        counts stay in index order. Pairs that were never confused are left out.

    Raises:
        ValueError: If `labels` and `matrix` do not describe the same classes.
    """
    _check_labels(labels, classes=len(matrix))
    mistakes = np.array(matrix)
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, mistakes.shape), strict=True)
    return [(labels[i], labels[j], int(mistakes[i, j])) for i, j in pairs if mistakes[i, j]]


def _top_k_accuracy(probabilities: np.ndarray, targets: np.ndarray, top_k: int) -> float:
    # scikit-learn's takes one column for two classes and warns where every class is among the best.
    if top_k < 1:
        raise ValueError(f"`top_k` is {top_k}; expected at least 1.")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return float((best == targets[:, None]).any(axis=1).mean())


def _check_labels(labels: Sequence[str], classes: int) -> None:
    if len(labels) != classes:
        raise ValueError(
            f"`labels` has {len(labels)} names for {classes} classes; expected one for each class, "
            "in index order."
        )
