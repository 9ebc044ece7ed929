"""The loss of tag sequences: the field's likelihood, its mean over sentences, its gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.layers.conditional_random_field import ConditionalRandomField
from shared.losses import TaggingLikelihood

TAGS = ("O", "B-a", "I-a", "B-b")
GOLD = np.array([[0, 1, 2, 2], [3, 0, -1, -1], [1, -1, -1, -1]], np.int32)


def field(tags: tuple[str, ...] = TAGS) -> ConditionalRandomField:
    layer = ConditionalRandomField(tags)
    layer.build((None, None, len(tags)))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


def emissions(tags: int = len(TAGS)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 4, tags)).astype(np.float32)


def test_the_loss_is_the_mean_of_the_fields_likelihoods():
    layer = field()
    each = layer.negative_log_likelihood(GOLD, emissions()).numpy()
    assert np.all(each > 0)
    found = TaggingLikelihood(layer)(GOLD, emissions())
    np.testing.assert_allclose(found, each.mean(), rtol=1e-6)


def test_sentences_are_weighed():
    layer = field()
    each = layer.negative_log_likelihood(GOLD, emissions()).numpy()
    weights = np.array([2.0, 0.0, 1.0], np.float32)
    found = TaggingLikelihood(layer)(GOLD, emissions(), sample_weight=weights)
    np.testing.assert_allclose(found, (each * weights).sum() / 3, rtol=1e-6)


def test_padding_changes_nothing():
    loss = TaggingLikelihood(field())
    alone = [
        loss(GOLD[row : row + 1, :length], emissions()[row : row + 1, :length])
        for row, length in enumerate((4, 2, 1))
    ]
    padded = np.pad(emissions(), ((0, 0), (0, 3), (0, 0)), constant_values=30.0)
    gold = np.pad(GOLD, ((0, 0), (0, 3)), constant_values=-1)
    np.testing.assert_allclose(loss(gold, padded), np.mean(alone), rtol=1e-5)


def test_one_tag_is_certain_and_costs_nothing():
    loss = TaggingLikelihood(field(("O",)))
    gold = np.minimum(GOLD, 0)
    values = tf.constant(emissions(1))
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = loss(gold, values)
    np.testing.assert_allclose(found, 0, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(found, values), np.zeros((3, 4, 1)), atol=1e-6)


def compiled(layer: ConditionalRandomField) -> keras.Model:
    inputs = keras.Input((None, 4))
    scores = keras.layers.Dense(len(layer.tags))(inputs)
    model = keras.Model(inputs, layer(scores))
    model.compile(keras.optimizers.SGD(0.1), TaggingLikelihood(layer))
    return model


def test_training_moves_the_fields_weights_and_the_network_below():
    layer = field()
    model = compiled(layer)
    assert len(model.trainable_variables) == 5
    before = model.get_weights()
    losses = [float(model.train_on_batch(emissions(), GOLD)) for _ in range(30)]
    assert losses[-1] < losses[0]
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


def test_the_gradient_of_the_transitions_against_differences():
    layer = field()
    loss = TaggingLikelihood(layer)
    with tf.GradientTape() as tape:
        value = loss(GOLD, emissions())
    gradient = tape.gradient(value, layer.transitions.value).numpy()
    weights = layer.transitions.numpy()
    for place in ((0, 1), (1, 2), (2, 2), (3, 0)):
        shift = np.zeros_like(weights)
        shift[place] = 0.01
        layer.transitions.assign(weights + shift)
        above = loss(GOLD, emissions())
        layer.transitions.assign(weights - shift)
        difference = (above - loss(GOLD, emissions())) / 0.02
        assert gradient[place] == pytest.approx(float(difference), abs=1e-3)
