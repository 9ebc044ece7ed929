"""Classification metrics and calibration, against plain NumPy, scikit-learn and invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import top_k_accuracy_score

from shared.metrics import (
    classification_metrics,
    confusion,
    expected_calibration_error,
    fit_temperature,
    most_confused,
    per_class,
    reliability,
)


def predictions(
    examples: int = 500, classes: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Makes probabilities that are often right, and targets."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, examples)
    logits = generator.normal(size=(examples, classes))
    logits[np.arange(examples), targets] += 1.5
    return softmax(logits, axis=1), targets


def test_metrics_equal_numpy_formulas() -> None:
    probabilities, targets = predictions()
    answers = probabilities.argmax(axis=1)
    f1 = [
        2 * np.sum((answers == c) & (targets == c)) / (np.sum(answers == c) + np.sum(targets == c))
        for c in range(6)
    ]
    assert classification_metrics(probabilities, targets, top_k=3) == pytest.approx(
        {
            "accuracy": np.mean(answers == targets),
            "top_k_accuracy": top_k_accuracy_score(targets, probabilities, k=3),
            "macro_f1": np.mean(f1),
            "calibration_error": expected_calibration_error(probabilities, targets),
            "loss": -np.log(probabilities[np.arange(500), targets]).mean(),
        }
    )


def test_metrics_accept_float32_and_one_row() -> None:
    metrics = classification_metrics(np.array([[0.2, 0.8]], np.float32), np.array([0], np.uint8))
    assert metrics["accuracy"] == 0.0
    assert metrics["top_k_accuracy"] == 1.0  # five of two classes are both classes
    assert metrics["loss"] == pytest.approx(-np.log(0.2))


def test_rounding_of_the_row_sums_does_not_count() -> None:
    probabilities, targets = predictions()
    rounded = probabilities.astype(np.float16)
    exact = classification_metrics(probabilities, targets)
    assert classification_metrics(rounded, targets) == pytest.approx(exact, abs=2e-3)


def test_perfect_predictions() -> None:
    metrics = classification_metrics(np.eye(4), np.arange(4))
    assert metrics == pytest.approx(
        {
            "accuracy": 1.0,
            "top_k_accuracy": 1.0,
            "macro_f1": 1.0,
            "calibration_error": 0.0,
            "loss": 0.0,
        }
    )


def test_macro_f1_leaves_out_classes_without_targets_or_answers() -> None:
    probabilities = np.eye(5)[[0, 0, 1]]
    metrics = classification_metrics(probabilities, np.array([0, 1, 1]))
    assert metrics["macro_f1"] == pytest.approx(2 / 3)


def test_equal_probabilities_give_top_one_the_same_answer_as_accuracy() -> None:
    metrics = classification_metrics(np.full((4, 4), 0.25), np.arange(4), top_k=1)
    assert metrics["top_k_accuracy"] == metrics["accuracy"] == 0.25


def test_per_class_scores_and_what_is_undefined() -> None:
    probabilities = np.eye(4)[[0, 0, 1, 3]]
    scores = per_class(probabilities, np.array([0, 1, 1, 1]), ["cat", "dog", "owl", "bee"])
    assert [score.label for score in scores] == ["cat", "dog", "owl", "bee"]
    assert [score.support for score in scores] == [1, 3, 0, 0]
    columns = np.array([(score.precision, score.recall, score.f1) for score in scores])
    expected = [
        (1 / 2, 1, 2 / 3),
        (1, 1 / 3, 1 / 2),
        (np.nan, np.nan, np.nan),
        (0, np.nan, 0),
    ]
    np.testing.assert_allclose(columns, expected)


def test_confusion_counts_rows_as_true_classes() -> None:
    probabilities, targets = predictions(classes=4)
    expected = np.zeros((4, 4), np.int64)
    np.add.at(expected, (targets, probabilities.argmax(axis=1)), 1)
    matrix = confusion(probabilities, targets)
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == np.int64


def test_most_confused_lists_the_commonest_mistakes_first() -> None:
    matrix = np.array([[50, 2, 0], [7, 60, 2], [0, 1, 70]])
    pairs = most_confused(matrix, ["a", "b", "c"], most=3)
    assert pairs == [("b", "a", 7), ("a", "b", 2), ("b", "c", 2)]
    assert len(most_confused(matrix, ["a", "b", "c"])) == 4
    assert most_confused(np.diag([3, 4]), ["a", "b"]) == []
    assert matrix[0, 0] == 50


def test_calibration_error_by_hand() -> None:
    # Bins of width 0.5: three answers in the upper one, mean confidence 0.8, two thirds right.
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert expected_calibration_error(probabilities, np.array([0, 1, 1]), bins=2) == pytest.approx(
        0.8 - 2 / 3
    )
    # Bins of width 0.1: 0.9 | 0.8 | 0.7 by themselves.
    assert expected_calibration_error(probabilities, np.array([0, 1, 1]), bins=10) == pytest.approx(
        (0.1 + 0.2 + 0.7) / 3
    )


def test_calibration_error_weights_bins_by_examples() -> None:
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.4, 0.6]])
    error = expected_calibration_error(probabilities, np.array([0, 0, 0, 0]), bins=10)
    assert error == pytest.approx(3 / 4 * 0.1 + 1 / 4 * 0.6)


@given(st.integers(0, 1000), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_calibration_error_does_not_depend_on_order(seed: int, bins: int) -> None:
    probabilities, targets = predictions(examples=60, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    error = expected_calibration_error(probabilities, targets, bins)
    assert 0 <= error <= 1
    shuffled = expected_calibration_error(probabilities[order], targets[order], bins)
    assert shuffled == pytest.approx(error)


def test_reliability_bins_hold_every_answer_once() -> None:
    probabilities, targets = predictions()
    bins = reliability(probabilities, targets, bins=10)
    filled = bins.count > 0
    assert bins.count.sum() == 500
    assert np.isnan(bins.confidence[~filled]).all() and np.isnan(bins.accuracy[~filled]).all()
    assert (bins.confidence[filled] > bins.edges[:-1][filled]).all()
    assert (bins.confidence[filled] <= bins.edges[1:][filled]).all()
    accuracy = np.mean(probabilities.argmax(axis=1) == targets)
    assert np.nansum(bins.accuracy * bins.count) / 500 == pytest.approx(accuracy)


def test_reliability_puts_certainty_into_the_last_bin() -> None:
    bins = reliability(np.eye(3), np.arange(3), bins=4)
    np.testing.assert_array_equal(bins.count, [0, 0, 0, 3])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_recovers_the_known_value(temperature: float) -> None:
    generator = np.random.default_rng(1)
    calibrated = generator.normal(scale=2.0, size=(40_000, 5))
    cumulative = softmax(calibrated, axis=1).cumsum(axis=1)
    targets = (cumulative < generator.random((40_000, 1))).sum(axis=1)
    logits = calibrated * temperature
    fitted = fit_temperature(logits, targets)
    assert fitted == pytest.approx(temperature, rel=0.03)
    rows = np.arange(len(targets))
    before = -log_softmax(logits, axis=1)[rows, targets].mean()
    after = -log_softmax(logits / fitted, axis=1)[rows, targets].mean()
    assert after <= before + 1e-9
    assert expected_calibration_error(softmax(logits / fitted, axis=1), targets) < 0.015


@pytest.mark.parametrize("shift", [0, 1])
def test_temperature_stays_finite_if_all_is_right_or_all_is_wrong(shift: int) -> None:
    temperature = fit_temperature(np.eye(4) * 10, (np.arange(4) + shift) % 4)
    assert 0.01 < temperature < 100


def test_temperature_of_one_example_is_finite() -> None:
    assert np.isfinite(fit_temperature(np.array([[3.0, -1.0]]), np.array([0])))


@pytest.mark.parametrize(
    ("probabilities", "targets", "message"),
    [
        (np.ones((2, 2)), [0, 1], "sums to 2"),
        (np.array([[1.5, -0.5]]), [0], "smallest value of -0.5"),
        (np.array([[0.5, 0.5], [np.nan, 1.0]]), [0, 1], "Row 1"),
        (np.full((2, 2), 0.5), [0, 2], "from 0 to 2"),
        (np.full((2, 2), 0.5), [0, -1], "from -1 to 0"),
        (np.full((2, 2), 0.5), [0.0, 1.0], "dtype float64"),
        (np.full((2, 2), 0.5), [0], "shape"),
        (np.ones((2, 1)), [0, 0], "two classes"),
        (np.ones(2), [0, 0], "shape"),
        (np.ones((0, 2)), np.zeros(0, int), "no examples"),
    ],
)
def test_bad_predictions_are_refused(
    probabilities: np.ndarray, targets: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(probabilities, np.array(targets))


def test_other_bad_arguments_are_refused() -> None:
    probabilities, targets = predictions(examples=4, classes=2)
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.array([[np.inf, 0.0]]), np.array([0]))
    with pytest.raises(ValueError, match="`top_k` is 0"):
        classification_metrics(probabilities, targets, top_k=0)
    with pytest.raises(ValueError, match="`bins` is 0"):
        reliability(probabilities, targets, bins=0)
    with pytest.raises(ValueError, match="3 names for 2 classes"):
        per_class(probabilities, targets, ["a", "b", "c"])
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        most_confused(np.eye(2), ["a"])
