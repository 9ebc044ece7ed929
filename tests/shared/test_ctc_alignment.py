"""Alignment of given labels, against the best of all paths."""

from itertools import groupby, product

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from shared.layers.ctc_alignment import align
from shared.layers.ctc_decoding import Decoded, greedy_decode
from shared.layers.ctc_frames import mask_logits

CLASSES = 3
SIGNATURE = [
    tf.TensorSpec((None, None, CLASSES + 1)),
    tf.TensorSpec((None, None), tf.int32),
]
run = tf.function(align, SIGNATURE, autograph=False)


def random_logits(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, CLASSES + 1)).astype(np.float32) * 2


def pad(*texts: list[int]) -> np.ndarray:
    width = max(map(len, texts))
    return np.array([[*text, *[-1] * (width - len(text))] for text in texts], np.int32)


def read_runs(path: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Label, first frame and frame behind the last one of each run that is not blank."""
    runs, frame = [], 0
    for label, run_of_label in groupby(path):
        end = frame + len(list(run_of_label))
        if label != CLASSES:
            runs.append((label, frame, end))
        frame = end
    return runs


def best_of_all_paths(logits: np.ndarray, text: list[int]) -> tuple[float, list]:
    scores = log_softmax(logits, axis=1)
    paths = product(range(CLASSES + 1), repeat=len(logits))
    values = [
        (sum(scores[t, symbol] for t, symbol in enumerate(path)), read_runs(path))
        for path in paths
        if [label for label, *_ in read_runs(path)] == text
    ]
    return max(values, default=(-np.inf, []))


def rows_of(decoded: Decoded) -> list[list[tuple[int, int, int]]]:
    columns = np.stack(decoded[:3], axis=-1)
    rows = [[tuple(label) for label in row if label[0] >= 0] for row in columns.tolist()]
    for row, padded in zip(rows, columns, strict=True):
        assert np.all(padded[len(row) :] == -1)
    return rows


@given(
    texts=st.lists(st.lists(st.integers(0, CLASSES - 1), max_size=4), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_the_best_of_all_paths_is_found(texts, seed):
    logits = random_logits(len(texts), 5, seed=seed)
    decoded = run(logits, pad(*texts))
    expected = [best_of_all_paths(row, text) for row, text in zip(logits, texts, strict=True)]
    assert rows_of(decoded) == [runs for _, runs in expected]
    np.testing.assert_allclose(decoded.log_probability, [score for score, _ in expected], rtol=1e-4)


def test_scores_are_mean_probabilities():
    logits = random_logits(1, 6)
    decoded = run(logits, pad([0, 1]))
    expected = [
        softmax(logits[0], 1)[start:end, label].mean() for label, start, end in rows_of(decoded)[0]
    ]
    np.testing.assert_allclose(decoded.scores[0], expected, rtol=1e-5)


def test_what_was_read_greedily_is_on_the_same_frames():
    logits = mask_logits(tf.constant(random_logits(5, 40)), [40, 31, 7, 1, 0])
    decoded = greedy_decode(logits)
    for found, expected in zip(run(logits, decoded.labels), decoded, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rows_without_a_path_leave_the_others_as_they_are_alone():
    texts = [[0, 0, 1], [2, 1], [1, 1], [], [0]]
    frames = [3, 8, 3, 2, 0]
    logits = random_logits(5, 8)
    decoded = run(mask_logits(tf.constant(logits), frames), pad(*texts))
    rows = rows_of(decoded)
    np.testing.assert_array_equal(decoded.labels, pad([], [2, 1], [1, 1], [], []))
    np.testing.assert_array_equal(
        np.isneginf(decoded.log_probability), [True, False, False, False, True]
    )
    for place, (text, count) in enumerate(zip(texts, frames, strict=True)):
        alone = run(logits[place : place + 1, :count], pad(text))
        assert rows_of(alone) == rows[place : place + 1]
        np.testing.assert_allclose(
            alone.log_probability, decoded.log_probability[place : place + 1], rtol=1e-6
        )


@pytest.mark.parametrize(("rows", "frames", "length"), [(0, 4, 2), (2, 0, 0), (0, 0, 0), (3, 5, 0)])
def test_nothing_to_align(rows, frames, length):
    decoded = run(random_logits(rows, frames), np.zeros((rows, length), np.int32))
    assert decoded.labels.shape == (rows, 0)
    assert np.all(np.isfinite(decoded.log_probability))


def test_a_row_that_is_no_number_leaves_the_others():
    logits, labels = random_logits(2, 6), pad([0, 1], [2, 0])
    spoilt = np.concatenate([np.full_like(logits[:1], np.nan), logits[1:]])
    assert rows_of(run(spoilt, labels))[1] == rows_of(run(logits, labels))[1]
