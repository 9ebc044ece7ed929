"""Beam search, against one in plain Python and against all texts."""

from collections import defaultdict
from functools import cache
from itertools import groupby, product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp, softmax

from shared.layers.character_language_model import CharacterLanguageModel
from shared.layers.ctc_alignment import align
from shared.layers.ctc_beam_search import beam_decode
from shared.layers.ctc_decoding import greedy_decode
from shared.layers.ctc_frames import mask_logits

WEIGHT, BONUS = 0.7, 0.4


def random_logits(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32) * 2


@cache
def random_model(classes: int) -> CharacterLanguageModel:
    random = np.random.default_rng(1)
    return CharacterLanguageModel(
        random.integers(0, 20, (20, classes)).astype(np.int32),
        np.log(random.dirichlet(np.ones(classes + 1), 20)).astype(np.float32),
        start=3,
    )


@cache
def compiled(classes: int, width: int, with_model: bool) -> Any:
    settings = (random_model(classes), WEIGHT, BONUS) if with_model else ()
    signature = [tf.TensorSpec((None, None, classes + 1))]
    return tf.function(
        lambda logits: beam_decode(logits, width, *settings), signature, autograph=False
    )


def texts_of(labels: tf.Tensor) -> list[list[int]]:
    texts = [[label for label in row if label >= 0] for row in labels.numpy().tolist()]
    for text, row in zip(texts, labels.numpy(), strict=True):
        assert np.all(row[len(text) :] == -1)
    return texts


def model_score(text: tuple[int, ...], model: CharacterLanguageModel | None, end: bool) -> float:
    """What the language model and the length bonus add."""
    if model is None:
        return 0.0
    state, total = model.start, 0.0
    for label in text:
        total += float(model.log_probabilities[state, label])
        state = model.transitions[state, label]
    total += end * float(model.log_probabilities[state, -1])
    return WEIGHT * total + BONUS * len(text)


def search(
    logits: np.ndarray, width: int, model: CharacterLanguageModel | None
) -> tuple[list[int], float]:
    """Hannun et al., algorithm 1, with an end of the text and ten labels per frame."""
    beams = {(): (1.0, 0.0)}

    def score(text: tuple[int, ...], end: bool = False) -> float:
        return np.log(sum(beams[text])) + model_score(text, model, end)

    for frame in softmax(logits.astype(float), axis=1):
        likeliest = np.argsort(-frame[:-1], kind="stable")[:10]
        longer: dict[tuple[int, ...], np.ndarray] = defaultdict(lambda: np.zeros(2))
        for text, (blank, label) in beams.items():
            at_last = frame[text[-1]] if text else 0.0
            longer[text] += (blank + label) * frame[-1], label * at_last
            for new in range(len(frame) - 1):
                if new in likeliest or (*text, new) in beams:
                    before = blank if text[-1:] == (new,) else blank + label
                    longer[*text, new] += 0, before * frame[new]
        beams = {text: tuple(values) for text, values in longer.items() if sum(values) > 0}
        beams = {text: beams[text] for text in sorted(beams, key=score, reverse=True)[:width]}
    best = max(beams, key=lambda text: score(text, end=True))
    return list(best), np.log(sum(beams[best]))


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("classes", [3, 15])
@pytest.mark.parametrize("width", [1, 2, 8])
def test_beams_are_those_of_plain_python(width, classes, with_model):
    logits = random_logits(20, 12, classes + 1)
    found = compiled(classes, width, with_model)(logits)
    model = random_model(classes) if with_model else None
    expected = [search(row, width, model) for row in logits]
    assert texts_of(found.labels) == [text for text, _ in expected]
    np.testing.assert_allclose(found.log_probability, [value for _, value in expected], rtol=1e-4)


@pytest.mark.parametrize("with_model", [False, True])
def test_a_wide_beam_finds_the_best_of_all_texts(with_model):
    classes, frames = 3, 4
    model = random_model(classes) if with_model else None
    logits = random_logits(10, frames, classes + 1)
    found = compiled(classes, 130, with_model)(logits)
    paths = list(product(range(classes + 1), repeat=frames))
    for row, labels, value in zip(
        logits, texts_of(found.labels), found.log_probability, strict=True
    ):
        scores = log_softmax(row, axis=1)
        values = defaultdict(list)
        for path in paths:
            text = tuple(label for label, _ in groupby(path) if label != classes)
            values[text].append(scores[np.arange(frames), path].sum())
        best = max(values, key=lambda t: logsumexp(values[t]) + model_score(t, model, end=True))
        assert labels == list(best)
        assert float(value) == pytest.approx(logsumexp(values[best]), rel=1e-4)


def test_a_beam_is_rarely_less_probable_than_the_likeliest_classes():
    logits = random_logits(200, 15, 6)
    greedy = greedy_decode(logits).log_probability.numpy()
    found = {w: compiled(5, w, False)(logits).log_probability.numpy() for w in (1, 4, 16)}
    assert np.mean(found[1] >= greedy) > 0.95
    assert np.all(found[16] >= greedy)
    assert found[1].mean() < found[4].mean() < found[16].mean()


def test_certain_frames_read_as_they_are():
    path = [2, 2, 9, 2, 0, 1, 1, 9, 9, 1]
    logits = np.float32(30) * np.eye(10, dtype=np.float32)[[path]]
    found = compiled(9, 8, False)(logits)
    assert texts_of(found.labels) == [[2, 2, 0, 1, 1]]
    np.testing.assert_allclose(found.log_probability, 0, atol=1e-5)


def test_a_language_model_decides_between_what_sounds_alike():
    only_second = np.log(np.float32([[1e-3, 1 - 2e-3, 1e-3]]))
    model = CharacterLanguageModel(np.zeros((1, 2), np.int32), only_second, start=0)
    logits = np.float32([[[2.0, 1.9, 0.0], [0.0, 0.0, 9.0]]])
    assert texts_of(beam_decode(logits, 4).labels) == [[0]]
    assert texts_of(beam_decode(logits, 4, model).labels) == [[1]]
    assert texts_of(beam_decode(logits, 4, model, language_weight=0.0).labels) == [[0]]


def test_a_length_bonus_makes_texts_longer():
    logits = random_logits(20, 15, 6)
    lengths = [
        sum(map(len, texts_of(beam_decode(logits, 8, length_bonus=bonus).labels)))
        for bonus in (-2.0, 0.0, 2.0)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("with_model", [False, True])
def test_a_row_alone_is_as_in_a_padded_batch(with_model):
    run = compiled(5, 8, with_model)
    logits, frames = random_logits(5, 30, 6), [30, 17, 4, 1, 0]
    together = run(mask_logits(tf.constant(logits), frames))
    for row, count in enumerate(frames):
        alone = run(logits[row : row + 1, :count])
        assert texts_of(alone.labels) == texts_of(together.labels)[row : row + 1]
        np.testing.assert_allclose(
            alone.log_probability[0], together.log_probability[row], rtol=1e-5, atol=1e-6
        )


def test_probabilities_of_a_long_text_do_not_underflow():
    logits = random_logits(1, 2000, 6)
    found = compiled(5, 4, True)(logits)
    assert len(texts_of(found.labels)[0]) > 800
    best_path = tf.function(align, autograph=False)(logits, found.labels).log_probability
    assert best_path < found.log_probability < 0


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_nothing_to_decode(shape):
    found = compiled(3, 4, True)(random_logits(*shape, 4))
    assert found.labels.shape == (shape[0], 0)
    np.testing.assert_array_equal(found.log_probability, np.zeros(shape[0]))


def test_a_row_that_is_no_number_leaves_the_others():
    logits = random_logits(3, 8, 4)
    spoilt = logits.copy()
    spoilt[1, 4:] = np.nan
    run = compiled(3, 4, True)
    found, expected = run(spoilt), run(logits)
    for row in (0, 2):
        assert texts_of(found.labels)[row] == texts_of(expected.labels)[row]
        assert found.log_probability[row] == expected.log_probability[row]
