"""Greedy decoding and the words made of it, against plain Python."""

from itertools import groupby

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from shared.layers.ctc_decoding import Decoded, greedy_decode
from shared.layers.ctc_frames import mask_logits
from shared.layers.ctc_words import join_words

ALPHABET = ("a", "é", " ", "😀")
BLANK = len(ALPHABET)
TEXTS = st.lists(st.lists(st.integers(0, BLANK), min_size=9, max_size=9), min_size=1, max_size=4)


def random_logits(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*shape, BLANK + 1)).astype(np.float32) * 3


def runs_of(logits: np.ndarray) -> list[tuple[int, int, int, float]]:
    """Label, first frame, frame behind the last one and score of each run that is not blank."""
    found, frame = [], 0
    for label, run in groupby(logits.argmax(axis=1).tolist()):
        end = frame + len(list(run))
        if label != BLANK:
            found.append((label, frame, end, softmax(logits, axis=1)[frame:end, label].mean()))
        frame = end
    return found


def check(decoded: Decoded, rows: list[np.ndarray]) -> None:
    """Compares with what plain Python reads off each row's real frames."""
    expected = [runs_of(row) for row in rows]
    length = max(map(len, expected))
    columns = zip(decoded[:4], (-1, -1, -1, 0.0), strict=True)
    for place, (found, padding) in enumerate(columns):
        values = [[run[place] for run in row] for row in expected]
        padded = [[*row, *[padding] * (length - len(row))] for row in values]
        np.testing.assert_allclose(found, np.reshape(padded, (-1, length)), rtol=1e-5)
    sums = [log_softmax(row, axis=1).max(axis=1).sum() for row in rows]
    np.testing.assert_allclose(decoded.log_probability, sums, rtol=1e-4)


def test_runs_of_the_likeliest_classes_are_the_labels():
    logits = random_logits(6, 25)
    check(greedy_decode(logits), list(logits))


def test_a_row_alone_is_as_in_a_padded_batch():
    logits, frames = random_logits(4, 12), [12, 7, 1, 0]
    decoded = greedy_decode(mask_logits(tf.constant(logits), frames))
    rows = [row[:count] for row, count in zip(logits, frames, strict=True)]
    check(decoded, rows)
    for place, row in enumerate(rows):
        for found, alone in zip(decoded, greedy_decode(row[None]), strict=True):
            kept = found[place : place + 1, : alone.shape[1]] if alone.ndim == 2 else found[place]
            np.testing.assert_allclose(kept, alone if alone.ndim == 2 else alone[0], rtol=1e-6)


@given(TEXTS)
@settings(max_examples=50, deadline=None)
def test_any_paths_and_their_words(paths):
    logits = np.float32(3) * np.eye(BLANK + 1, dtype=np.float32)[paths]
    decoded = greedy_decode(logits)
    check(decoded, list(logits))
    check_words(decoded)


def check_words(decoded: Decoded) -> None:
    words = join_words(decoded, ALPHABET)
    rows = zip(*(np.array(part) for part in decoded[:4]), strict=True)
    for place, (labels, starts, ends, scores) in enumerate(rows):
        text = "".join(ALPHABET[label] for label in labels if label >= 0)
        expected = text.split()
        padded = [*expected, *[""] * (words.words.shape[1] - len(expected))]
        assert [word.decode() for word in words.words[place].numpy()] == padded
        assert words.transcripts[place].numpy().decode() == " ".join(expected)
        spans = letters_of_words(text)
        assert words.starts[place].numpy()[: len(spans)].tolist() == [starts[s[0]] for s in spans]
        assert words.ends[place].numpy()[: len(spans)].tolist() == [ends[s[-1]] for s in spans]
        means = [np.exp(np.log(scores[span]).mean()) for span in spans]
        np.testing.assert_allclose(words.scores[place][: len(spans)], means, rtol=1e-5)
        assert not np.any(words.scores[place][len(spans) :])
        assert np.all(words.starts[place][len(spans) :] == -1)
        assert np.all(words.ends[place][len(spans) :] == -1)


def letters_of_words(text: str) -> list[list[int]]:
    groups = groupby(enumerate(text), key=lambda pair: pair[1] != " ")
    return [[place for place, _ in letters] for is_word, letters in groups if is_word]


def test_words_of_a_whole_batch():
    check_words(greedy_decode(random_logits(8, 40)))


def test_words_by_hand():
    decoded = Decoded(
        labels=tf.constant([[2, 3, 1, 2, 2, 0, -1], [0, -1, -1, -1, -1, -1, -1]]),
        starts=tf.constant([[0, 1, 4, 5, 6, 7, -1], [3, -1, -1, -1, -1, -1, -1]]),
        ends=tf.constant([[1, 3, 5, 6, 7, 9, -1], [4, -1, -1, -1, -1, -1, -1]]),
        scores=tf.constant([[0.1, 0.9, 0.4, 0.1, 0.1, 0.5, 0], [0.0, 0, 0, 0, 0, 0, 0]]),
        log_probability=tf.zeros(2),
    )
    words = join_words(decoded, ALPHABET)
    assert words.words.numpy().tolist() == [["😀é".encode(), b"a"], [b"a", b""]]
    assert words.transcripts.numpy().tolist() == ["😀é a".encode(), b"a"]
    np.testing.assert_array_equal(words.starts, [[1, 7], [3, -1]])
    np.testing.assert_array_equal(words.ends, [[5, 9], [4, -1]])
    np.testing.assert_allclose(words.scores, [[0.6, 0.5], [0, 0]], rtol=1e-6)


def test_an_alphabet_without_a_space_makes_one_word():
    decoded = greedy_decode(np.float32(9) * np.eye(4, dtype=np.float32)[[[0, 3, 1, 2]]])
    words = join_words(decoded, ("x", "y", "z"))
    assert words.words.numpy().tolist() == [[b"xyz"]]
    assert [int(words.starts[0, 0]), int(words.ends[0, 0])] == [0, 4]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_decodes_to_nothing(shape):
    decoded = greedy_decode(random_logits(*shape))
    assert decoded.labels.shape == (shape[0], 0)
    np.testing.assert_array_equal(decoded.log_probability, np.zeros(shape[0]))
    words = join_words(decoded, ALPHABET)
    assert words.words.shape == (shape[0], 0)
    assert words.transcripts.numpy().tolist() == [b""] * shape[0]


def test_one_row_that_is_no_number_leaves_the_others():
    logits = random_logits(3, 8)
    spoilt = logits.copy()
    spoilt[1] = np.nan
    for found, expected in zip(greedy_decode(spoilt), greedy_decode(logits), strict=True):
        for row in (0, 2):
            size = min(len(np.atleast_1d(value[row])) for value in (found, expected))
            left, right = (np.atleast_1d(value[row])[:size] for value in (found, expected))
            np.testing.assert_array_equal(left, right)
