"""The CTC loss, against the sum over every alignment and against Keras'."""

from collections.abc import Sequence
from itertools import groupby, product

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp, softmax

from shared.layers.ctc_frames import NEVER, count_frames, mask_logits, required_frames
from shared.losses import CTCLoss

CLASSES = 3
TEXTS = ([0, 1], [2, 2], [1], [0, 0, 0], [])


def random_logits(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*shape, CLASSES + 1)).astype(np.float32) * 2


def pad(texts: Sequence[Sequence[int]], width: int = 0) -> np.ndarray:
    width = max(width, *map(len, texts))
    return np.array([[*text, *[-1] * (width - len(text))] for text in texts], np.int32)


def read_off(path: Sequence[int]) -> list[int]:
    return [label for label, _ in groupby(path) if label != CLASSES]


def brute_force(logits: np.ndarray, text: Sequence[int]) -> float:
    """Minus the log of the summed probabilities of all paths that read as the text."""
    scores = log_softmax(logits, axis=-1)
    paths = product(range(CLASSES + 1), repeat=len(logits))
    values = [
        sum(scores[t, symbol] for t, symbol in enumerate(path))
        for path in paths
        if read_off(path) == list(text)
    ]
    return -float(logsumexp(values))


def each_loss(texts: Sequence[Sequence[int]], logits: np.ndarray | tf.Tensor) -> np.ndarray:
    return CTCLoss(reduction=None)(pad(texts), logits).numpy()


def test_losses_are_the_sum_over_all_alignments():
    logits = random_logits(len(TEXTS), 5)
    expected = [brute_force(row, text) for row, text in zip(logits, TEXTS, strict=True)]
    np.testing.assert_allclose(each_loss(TEXTS, logits), expected, rtol=1e-5)


def test_the_loss_is_the_mean_over_rows():
    logits = random_logits(len(TEXTS), 5)
    np.testing.assert_allclose(
        CTCLoss()(pad(TEXTS), logits), each_loss(TEXTS, logits).mean(), rtol=1e-6
    )


def test_long_rows_are_as_by_keras():
    random = np.random.default_rng(1)
    logits, frames = random_logits(4, 60), [60, 41, 25, 60]
    lengths = [20, 7, 11, 30]
    texts = [random.integers(0, CLASSES, length).tolist() for length in lengths]
    labels = pad(texts)
    expected = keras.ops.ctc_loss(np.maximum(labels, 0), logits, lengths, frames, CLASSES)
    found = each_loss(texts, mask_logits(logits, frames))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gradients_against_differences():
    logits = random_logits(2, 4)
    texts = [[0, 2], [1, 1]]
    with tf.GradientTape() as tape:
        values = tf.constant(logits)
        tape.watch(values)
        loss = CTCLoss(reduction="sum")(pad(texts), values)
    gradient = tape.gradient(loss, values).numpy()
    for place in np.ndindex(logits.shape):
        shift = np.zeros_like(logits)
        shift[place] = 1e-2
        above, below = (each_loss(texts, logits + sign * shift).sum() for sign in (1, -1))
        assert gradient[place] == pytest.approx((above - below) / 2e-2, abs=2e-3)


def test_the_gradient_of_an_empty_text_leads_to_blanks():
    logits = tf.constant(random_logits(1, 3))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = CTCLoss()(np.zeros((1, 0), np.int32), logits)
    np.testing.assert_allclose(loss, brute_force(logits[0].numpy(), []), rtol=1e-6)
    expected = softmax(logits.numpy(), axis=-1) - np.eye(CLASSES + 1)[CLASSES]
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


def test_a_row_alone_is_as_in_a_padded_batch():
    logits, frames = random_logits(len(TEXTS), 9), np.array([9, 4, 2, 5, 3])
    padded = tf.constant(np.where(np.arange(9)[:, None] < frames[:, None, None], logits, 7))
    padded = mask_logits(padded, frames)
    alone = [
        each_loss([text], row[None, :count]).item()
        for text, row, count in zip(TEXTS, logits, frames, strict=True)
    ]
    np.testing.assert_allclose(each_loss(TEXTS, padded), alone, rtol=1e-6)
    assert each_loss(TEXTS, padded)[1] > 0


def test_a_row_without_an_alignment_costs_nothing_and_moves_nothing():
    texts = [[0, 0, 1], [0, 1, 2, 0], [1, 2]]
    logits = mask_logits(tf.constant(random_logits(3, 6)), [3, 3, 3])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = CTCLoss(reduction=None)(pad(texts), logits)
    gradient = tape.gradient(losses, logits).numpy()
    np.testing.assert_array_equal(losses.numpy()[:2], 0)
    np.testing.assert_array_equal(gradient[:2], 0)
    assert losses[2] > 0 and np.any(gradient[2, :3])
    np.testing.assert_array_equal(gradient[2, 3:], 0)


def test_rows_without_frames_are_finite():
    logits = mask_logits(tf.constant(random_logits(2, 4)), [0, 0])
    np.testing.assert_array_equal(each_loss([[1], []], logits), 0)


@pytest.mark.parametrize(
    ("text", "frames"), [([], 0), ([1], 1), ([1, 1], 3), ([1, 2, 1], 3), ([0, 0, 0, 1, 1], 8)]
)
def test_required_frames(text, frames):
    labels = pad([text], 7)
    assert int(required_frames(labels)[0]) == frames
    assert int(required_frames(tf.constant(labels))[0]) == frames
    # Indeed one frame fewer has no path.
    lengths = [n for n in range(7) if read_paths(n, text)]
    assert not lengths or lengths[0] == frames


def read_paths(frames: int, text: list[int]) -> bool:
    return any(read_off(path) == text for path in product(range(CLASSES + 1), repeat=frames))


def test_masked_frames_are_blank_with_certainty_and_are_counted():
    logits, frames = random_logits(4, 5), [5, 0, 3, 1]
    masked = mask_logits(tf.constant(logits), frames)
    np.testing.assert_array_equal(count_frames(masked), frames)
    padding = np.tile(np.float32([NEVER] * CLASSES + [0]), (5, 1))
    for row, found, count in zip(logits, masked.numpy(), frames, strict=True):
        np.testing.assert_array_equal(found, [*row[:count], *padding[count:]])
    probabilities = tf.nn.softmax(masked).numpy()[1]
    np.testing.assert_allclose(probabilities, [[0, 0, 0, 1]] * 5, rtol=1e-6)


def test_training_in_a_graph_learns_the_texts():
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES + 1)(inputs))
    model.compile(keras.optimizers.Adam(0.1), CTCLoss(), jit_compile=False)
    features = np.random.default_rng(3).normal(size=(5, 6, 4)).astype(np.float32)
    losses = [float(model.train_on_batch(features, pad(TEXTS))) for _ in range(30)]
    assert losses[-1] < losses[0] / 2


def test_the_loss_is_saved_with_its_name():
    loss = keras.losses.deserialize(keras.losses.serialize(CTCLoss(name="transcript")))
    assert isinstance(loss, CTCLoss) and loss.name == "transcript"
