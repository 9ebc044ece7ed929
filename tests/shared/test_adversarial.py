"""Adversarial training against NumPy, and against training without it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.training.adversarial import AdversarialModel, Perturbation

WORDS = np.array([[3, 1, 4, 0], [5, 2, 6, 5]], np.int32)
LABELS = np.eye(2, dtype=np.float32)
SIZE = 0.5


def network(size: float | None, optimizer: str = "sgd", precision: str = "float32") -> keras.Model:
    """The mean of word vectors, padding left out, below two logits."""
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(7, 3, mask_zero=True, embeddings_initializer="normal")
    vectors = embedding(words)
    if size is not None:
        vectors = Perturbation(size, dtype=precision)(vectors)
    mean = keras.layers.GlobalAveragePooling1D()(vectors)
    logits = keras.layers.Dense(2, dtype="float32")(mean)
    kind = keras.Model if size is None else AdversarialModel
    model = kind(words, logits)
    model.compile(
        keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": 1.0}}),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def gradients(
    vectors: np.ndarray, dense: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the mean loss by vectors, weights and bias, by the rules of calculus."""
    used = (WORDS != 0)[..., None]
    share = used / used.sum(1, keepdims=True)
    mean = (vectors * share).sum(1)
    logits = mean @ dense + bias
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slopes = (chances - LABELS) / len(LABELS)
    return (slopes @ dense.T)[:, None] * share, mean.T @ slopes, slopes.sum(0)


def test_a_step_is_the_mean_of_two_by_hand() -> None:
    model = network(SIZE)
    table, dense, bias = model.get_weights()
    vectors = table[WORDS]
    first = gradients(vectors, dense, bias)
    length = SIZE * np.linalg.norm(vectors, axis=-1)[WORDS != 0].mean()
    change = length * first[0] / np.linalg.norm(first[0], axis=(1, 2), keepdims=True)
    second = gradients(vectors + change, dense, bias)
    model.train_on_batch(WORDS, LABELS)
    by_vectors, by_dense, by_bias = (
        np.mean(pair, axis=0) for pair in zip(first, second, strict=True)
    )
    np.subtract.at(table, WORDS, by_vectors)
    learnt = (table, dense - by_dense, bias - by_bias)
    for found, expected in zip(model.get_weights(), learnt, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_worst_change_is_worse_than_others_of_its_length() -> None:
    model = network(SIZE)
    vectors = tf.gather(model.layers[1].embeddings, WORDS)
    weights = model.get_weights()[1:]
    slopes = gradients(vectors.numpy(), *weights)[0]
    layer = Perturbation(SIZE)
    change = layer.worst_change(vectors, tf.constant(slopes, tf.float32)).numpy()
    random = np.random.default_rng(0)

    def growth(change: np.ndarray) -> np.ndarray:
        return np.sum(slopes * change, axis=(1, 2))

    for _ in range(20):
        other = random.normal(size=change.shape)
        other *= np.linalg.norm(change[:1]) / np.linalg.norm(other, axis=(1, 2), keepdims=True)
        assert np.all(growth(change) > growth(other))
    assert np.all(change[0, 3] == 0), "padding is not changed"


def test_without_a_slope_nothing_changes() -> None:
    features = tf.ones((2, 3, 4))
    change = Perturbation(SIZE).worst_change(features, tf.zeros_like(features))
    np.testing.assert_array_equal(change, np.zeros((2, 3, 4)))


def test_features_are_changed_in_training_steps_alone() -> None:
    model, plain = network(SIZE), network(None)
    np.testing.assert_array_equal(model(WORDS), plain(WORDS))
    np.testing.assert_array_equal(model(WORDS, training=True), plain(WORDS, training=True))
    before = [model.test_on_batch(WORDS, LABELS), plain.test_on_batch(WORDS, LABELS)]
    np.testing.assert_array_equal(*before)


def test_without_a_perturbation_it_is_trained_as_any_model() -> None:
    plain = network(None)
    model = AdversarialModel(plain.inputs, plain.outputs)
    model.compile(plain.optimizer.from_config(plain.optimizer.get_config()), plain.loss)
    weights = plain.get_weights()
    model.train_on_batch(WORDS, LABELS)
    trained = model.get_weights()
    plain.set_weights(weights)
    plain.train_on_batch(WORDS, LABELS)
    for found, expected in zip(trained, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_learns_in_every_precision(precision: str) -> None:
    model = network(SIZE, "adam", precision)
    losses = [model.train_on_batch(WORDS, LABELS)[0] for _ in range(20)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_survives_its_configuration() -> None:
    layer = Perturbation(SIZE, name="here")
    assert Perturbation.from_config(layer.get_config()).get_config() == layer.get_config()
