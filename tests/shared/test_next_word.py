"""The softmax over all words and its estimate from a few, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp

from shared.layers.next_word import NextWord
from shared.layers.recurrent import LSTM
from shared.losses import LanguageModelLoss

WORDS, SIZE, UNITS = 30, 4, 5


def build(samples: int = 8) -> NextWord:
    """A layer with random weights, the bias too."""
    embedding = keras.layers.Embedding(WORDS, SIZE)
    embedding.build()
    layer = NextWord(embedding, samples)
    layer.build((None, None, UNITS))
    for variable in (embedding.embeddings, *layer.trainable_variables):
        variable.assign(random(variable.shape))
    return layer


def random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def examples(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `(n, SIZE)` and words `(n,)`, the most frequent one among them."""
    return random((n, SIZE)), (1 + np.arange(n) % (WORDS - 1)).astype(np.int32)


def all_logits(layer: NextWord, vectors: np.ndarray) -> np.ndarray:
    logits = vectors @ layer.embedding.embeddings.numpy().T + layer.bias.numpy()
    logits[:, 0] = -1e9
    return logits


def chances() -> np.ndarray:
    """How likely each word from 1 on is drawn, by Zipf's law."""
    return np.log(1 + 1 / np.arange(1, WORDS)) / np.log(WORDS)


def next_draw(layer: NextWord) -> set[int]:
    """The words that the layer's next estimate draws."""
    twin = keras.random.SeedGenerator(0)
    twin.state.assign(layer.seed_generator.state)
    uniform = keras.random.uniform((layer.samples,), seed=twin)
    return set((1 + np.floor(np.exp(uniform * np.log(WORDS)) - 1)).astype(int).tolist())


def test_states_are_projected_and_compared_with_every_word():
    layer, states = build(), random((2, 3, UNITS))
    kernel, bias = layer.projection.get_weights()
    vectors = layer(states).numpy()
    np.testing.assert_allclose(vectors, states @ kernel + bias, rtol=1e-5, atol=1e-5)
    logits = layer.logits(vectors[0])
    np.testing.assert_allclose(logits, all_logits(layer, vectors[0]), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def log_likelihoods():
    """A layer, and its log-likelihoods as a graph for any number of words."""
    layer = build()
    signature = [tf.TensorSpec((None, SIZE)), tf.TensorSpec((None,), tf.int32)]
    return layer, tf.function(layer.log_likelihoods, signature, autograph=False)


@pytest.mark.parametrize("n", [0, 1, 1024, 1500])
def test_log_likelihoods_are_those_of_the_whole_softmax(log_likelihoods, n):
    (layer, function), (vectors, words) = log_likelihoods, examples(n)
    expected = log_softmax(all_logits(layer, vectors), axis=1)[np.arange(n), words]
    for found in (function(vectors, words), layer.log_likelihoods(vectors, words)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_probabilities_of_all_words_but_padding_are_one(log_likelihoods):
    _, function = log_likelihoods
    vectors = np.repeat(random((1, SIZE)), WORDS, axis=0)
    probabilities = np.exp(function(vectors, np.arange(WORDS, dtype=np.int32)))
    assert probabilities[0] == 0
    assert probabilities.sum() == pytest.approx(1, rel=1e-5)


def test_the_estimate_is_a_softmax_over_the_drawn_words():
    layer, (vectors, words) = build(samples=20), examples(40)
    drawn = next_draw(layer)
    assert drawn & set(words.tolist()) and set(words.tolist()) - drawn
    with np.errstate(divide="ignore"):
        log_inclusion = np.log([0, *(1 - (1 - chances()) ** layer.samples)])
    corrected = all_logits(layer, vectors) - log_inclusion
    expected = [
        logsumexp(row[sorted({word, *drawn})]) - row[word]
        for row, word in zip(corrected, words, strict=True)
    ]
    np.testing.assert_allclose(layer.sampled_loss(vectors, words), expected, rtol=1e-4, atol=1e-4)


def test_words_are_drawn_by_zipfs_law():
    layer = build(samples=100_000)
    counts = np.bincount(layer._draw(), minlength=WORDS)
    assert len(counts) == WORDS and counts[0] == 0
    np.testing.assert_allclose(counts[1:] / layer.samples, chances(), atol=0.005)


def losses_and_gradients(layer: NextWord, values: tf.Tensor, vectors: tf.Variable) -> list:
    """The losses and their mean's gradients, dense, in the vectors and what the words have."""
    weights = [vectors, layer.embedding.embeddings.value, layer.bias.value]
    with tf.GradientTape() as tape:
        losses = values()
        mean = tf.reduce_mean(losses)
    return [losses, *map(tf.convert_to_tensor, tape.gradient(mean, weights))]


def test_the_estimate_from_every_word_is_exact_and_so_are_its_gradients():
    layer, (values, words) = build(samples=4000), examples(40)
    assert next_draw(layer) == set(range(1, WORDS))
    vectors = tf.Variable(values)
    found = losses_and_gradients(layer, lambda: layer.sampled_loss(vectors, words), vectors)
    exact = losses_and_gradients(layer, lambda: -layer.log_likelihoods(vectors, words), vectors)
    for value, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_the_estimate_has_its_optimum_at_the_true_probabilities():
    layer = build(samples=20)
    truth = chances() / 2 + np.eye(WORDS - 1)[0] * 0.3 + np.eye(WORDS - 1)[20] * 0.2
    layer.bias.assign(np.log([1, *truth]))
    vectors, words = tf.zeros((WORDS - 1, SIZE)), tf.range(1, WORDS)

    @tf.function
    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(truth.astype(np.float32) * layer.sampled_loss(vectors, words))
        return tf.convert_to_tensor(tape.gradient(loss, layer.bias.value))

    mean = np.mean([gradient() for _ in range(400)], axis=0)
    np.testing.assert_allclose(mean, np.zeros(WORDS), atol=0.04)


@pytest.mark.parametrize(
    "targets",
    [
        [[3, 1, 4, -1], [7, -1, -1, -1], [2, 2, 9, 5]],
        [[3, 0, 4, 0], [0, 0, 0, -1], [-1, 6, -1, 2]],
        [[-1, 8, -1, -1], [-1] * 4, [0] * 4],
        [[-1] * 4] * 3,
    ],
    ids=["next words", "places without words", "fewer words than rows", "no words"],
)
def test_the_loss_is_the_mean_over_the_words_of_the_batch(targets):
    layer, vectors, targets = build(), random((3, 4, SIZE)), np.array(targets)
    seed = layer.seed_generator.state.numpy()
    losses = layer.sampled_loss(vectors[targets > 0], targets[targets > 0].astype(np.int32))
    layer.seed_generator.state.assign(seed)
    found = LanguageModelLoss(layer)(targets, vectors)
    assert float(found) == pytest.approx(np.mean(losses) if len(losses) else 0, rel=1e-5)


def test_no_words_have_no_losses():
    layer, (vectors, words) = build(), examples(0)
    assert layer.sampled_loss(vectors, words).shape == (0,)


def test_a_model_learns_which_word_comes_next():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(WORDS, 12)
    outputs = NextWord(embedding, samples=10, name="next")(LSTM(16)(embedding(inputs)))
    model = keras.Model(inputs, outputs)
    layer = model.get_layer("next")
    model.compile(keras.optimizers.Adam(0.1), LanguageModelLoss(layer))
    words = (1 + (np.arange(4)[:, None] + np.arange(7)) % 6).astype(np.int32)
    for _ in range(60):
        model.train_on_batch(words[:, :-1], words[:, 1:])
    assert len(model.trainable_variables) == 7  # the words' vectors are there once
    vectors = tf.reshape(model(words[:, :-1]), (-1, 12))
    found = layer.log_likelihoods(vectors, words[:, 1:].flatten())
    assert np.mean(found) > -0.1
