"""Metrics of label sets against NumPy, and weights of mixtures on made data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import log_loss

from shared.metrics import fit_mixture, fit_temperature, label_scores, label_set_metrics

PROBABILITIES = np.array(
    [[0.9, 0.2, 0.6, 0.1], [0.5, 0.7, 0.1, 0.2], [0.3, 0.4, 0.2, 0.1], [0.8, 0.9, 0.7, 0.3]]
)
TARGETS = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]], np.float32)


def test_metrics_by_hand():
    """Of 7 labels given, 5 are among the 6 wanted; the first of 4 examples is right, no other."""
    chance = np.where(TARGETS == 1, PROBABILITIES, 1 - PROBABILITIES)
    assert label_set_metrics(PROBABILITIES, TARGETS) == pytest.approx(
        {
            "accuracy": 1 / 4,
            "micro_f1": 2 * 5 / (7 + 6),
            # Grey, which is neither asked nor given, does not count.
            "macro_f1": (1 + 2 * 1 / (2 + 2) + 2 * 1 / (2 + 1)) / 3,
            "loss": -np.log(chance).mean(),
        }
    )


def test_scores_of_each_label_by_hand_and_what_is_undefined():
    scores = label_scores(PROBABILITIES, TARGETS, ["red", "green", "blue", "grey"])
    assert [score.label for score in scores] == ["red", "green", "blue", "grey"]
    assert [score.support for score in scores] == [3, 2, 1, 0]
    found = [(score.precision, score.recall, score.f1) for score in scores]
    expected = [(1, 1, 1), (1 / 2, 1 / 2, 1 / 2), (1 / 2, 1, 2 / 3), (np.nan,) * 3]
    np.testing.assert_allclose(found, expected)


def test_a_single_label_is_scored_by_itself():
    (score,) = label_scores(PROBABILITIES[:, 2:3], TARGETS[:, 2:3], ["blue"])
    assert (score.precision, score.recall, score.support) == (1 / 2, 1, 1)
    (score,) = label_scores(PROBABILITIES[:, 3:], TARGETS[:, 3:], ["grey"])
    assert np.isnan([score.precision, score.recall, score.f1]).all() and score.support == 0


def test_a_label_is_given_from_the_threshold_on():
    probabilities, targets = np.array([[0.25, 0.75]]), np.array([[1, 1]])
    assert label_set_metrics(probabilities, targets, threshold=0.25)["accuracy"] == 1
    assert label_set_metrics(probabilities, targets, threshold=0.26)["accuracy"] == 0
    names = ["a", "b"]
    assert [s.recall for s in label_scores(probabilities, targets, names, 0.75)] == [0, 1]


@given(
    seed=st.integers(0, 999),
    examples=st.integers(1, 12),
    classes=st.integers(1, 5),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_metrics_of_any_label_sets_in_any_order(seed, examples, classes, threshold):
    generator = np.random.default_rng(seed)
    probabilities = generator.random((examples, classes)).astype(np.float32)
    targets = (generator.random((examples, classes)) < 0.4).astype(np.float32)
    found = label_set_metrics(probabilities, targets, threshold)
    given_, wanted = probabilities >= threshold, targets == 1
    both = 2 * np.sum(given_ & wanted, axis=0)
    either = np.sum(given_, axis=0) + np.sum(wanted, axis=0)
    assert found["micro_f1"] == pytest.approx(both.sum() / max(either.sum(), 1))
    scores = both[either > 0] / either[either > 0]
    assert found["macro_f1"] == pytest.approx(scores.mean() if len(scores) else 0)
    rows = zip(given_, wanted, strict=True)
    assert found["accuracy"] == np.mean([list(g) == list(t) for g, t in rows])
    each = [log_loss(t, p, labels=[0, 1]) for t, p in zip(targets.T, probabilities.T, strict=True)]
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-4)
    order = generator.permutation(examples)
    again = label_set_metrics(probabilities[order], targets[order], threshold)
    assert again == pytest.approx(found)


def test_certain_mistakes_have_a_finite_loss():
    metrics = label_set_metrics(np.array([[1.0, 0.0]], np.float32), np.array([[0, 1]]))
    assert 20 < metrics["loss"] < 40
    assert metrics["accuracy"] == metrics["micro_f1"] == metrics["macro_f1"] == 0


@pytest.mark.parametrize(
    ("probabilities", "targets"),
    [((2, 3), (2, 2)), ((2, 3), (3, 3)), ((0, 3), (0, 3)), ((4, 2), (4,))],
)
def test_what_is_not_a_set_of_labels_is_refused(probabilities, targets):
    with pytest.raises(ValueError, match="expected the same shape .examples, classes."):
        label_set_metrics(np.zeros(probabilities), np.zeros(targets))


def made_data(several: bool, weights: list[float]) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits of some classifiers, and labels drawn as their sum with `weights` says."""
    generator = np.random.default_rng(0)
    logits = [generator.normal(size=(20_000, 4)) for _ in weights]
    mixed = np.tensordot(weights, logits, 1)
    if several:
        return logits, (generator.random(mixed.shape) < expit(mixed)).astype(np.float32)
    places = np.argmax(mixed + generator.gumbel(size=mixed.shape), axis=1)
    return logits, np.eye(4, dtype=np.float32)[places]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("weights", [[1.5, 0.5], [0.3, 2.0, 0.0], [0.7]])
def test_known_weights_are_found_and_useless_classifiers_get_none(several, weights):
    logits, targets = made_data(several, weights)
    found = fit_mixture(logits, targets, several)
    np.testing.assert_allclose(found, weights, atol=0.05)
    np.testing.assert_allclose(fit_mixture(logits[::-1], targets, several), found[::-1], atol=0.01)


def test_the_mixture_of_one_classifier_is_temperature_scaling():
    logits, targets = made_data(False, [0.4])
    (weight,) = fit_mixture(logits, targets)
    assert weight == pytest.approx(1 / fit_temperature(logits[0], targets.argmax(axis=1)), rel=0.01)


def test_a_mixture_is_no_worse_than_either_classifier():
    logits, targets = made_data(False, [1.5, 0.5])
    mixed = np.tensordot(fit_mixture(logits, targets), logits, 1)
    losses = [-(targets * log_softmax(one, axis=1)).sum(axis=1).mean() for one in (mixed, *logits)]
    assert losses[0] < min(losses[1:])
    assert np.mean(softmax(mixed, axis=1).max(axis=1)) == pytest.approx(
        np.mean(mixed.argmax(axis=1) == targets.argmax(axis=1)), abs=0.01
    )


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_weights_stay_within_bounds_if_all_is_right_or_all_is_wrong(several, sign):
    targets = np.eye(3)
    (weight,) = fit_mixture([sign * (targets - 0.5).astype(np.float32)], targets, several)
    assert 10 < weight <= 20 if sign > 0 else weight == 1e-3
