"""Learning rates of groups of layers, by hand and in a real fit."""

import keras
import numpy as np
import pytest

from shared.optimizers import LayerRates, build_optimizer
from shared.training.config import OptimizerConfig

NAMES = ("word_vectors", "recurrent", "logits")
GROUPS = ([], ["recurrent"], ["word_vectors"])  # the first has all that no group names
OPTIMIZERS = pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
RATE = 0.1


def network() -> keras.Model:
    """A classifier of words; each layer has 2 or 1 weights, and those above one to scale."""
    inputs = keras.Input((5,), dtype="int32")
    vectors = keras.layers.Embedding(10, 8, name="word_vectors")(inputs)
    hidden = keras.layers.Dense(8, name="recurrent")(vectors)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(pooled))


def optimizer_of(
    name: str, rates: LayerRates | None, steps: int = 10, **settings: float
) -> keras.Optimizer:
    config = OptimizerConfig(name=name, schedule="constant", learning_rate=RATE, **settings)
    return build_optimizer(config, steps, rates)


def changes(model: keras.Model, before: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """What has been added to the weights of each layer."""
    after = model.get_weights()
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for weight, old, new in zip(model.weights, before, after, strict=True):
        found[weight.path.split("/")[0]].append(new - old)
    return found


@pytest.mark.parametrize(
    ("layer", "factors"),
    [
        ("logits", [1] * 6),
        ("recurrent", [0, 0, *[0.4] * 4]),
        ("word_vectors", [0] * 4 + [0.16] * 2),
    ],
)
def test_groups_begin_at_equal_distances_with_lower_and_lower_rates(layer, factors):
    rates = LayerRates(GROUPS, decay=0.4, unfreeze_fraction=0.6)
    weight = network().get_layer(layer).weights[0]
    found = [float(rates.factor(weight, step, 100)) for step in (0, 29, 30, 59, 60, 99)]
    np.testing.assert_allclose(found, factors, rtol=1e-6)


def test_layers_of_one_group_have_one_rate_and_others_that_of_the_first():
    rates = LayerRates([["logits"], ["recurrent", "word_vectors"]], 0.5, unfreeze_fraction=0.0)
    weights = {weight.path: weight for weight in network().weights}
    found = {path: float(rates.factor(weight, 0, 9)) for path, weight in weights.items()}
    assert found == {
        "word_vectors/embeddings": 0.5,
        "recurrent/kernel": 0.5,
        "recurrent/bias": 0.5,
        "logits/kernel": 1.0,
        "logits/bias": 1.0,
    }
    alone = LayerRates([["logits"]], 0.5, unfreeze_fraction=0.9)
    assert {float(alone.factor(weight, 0, 9)) for weight in weights.values()} == {1.0}


@OPTIMIZERS
def test_the_first_step_is_that_of_the_optimizer_times_the_factor(name):
    rates = LayerRates(GROUPS, decay=0.5, unfreeze_fraction=0.0)
    model = network()
    before = model.get_weights()
    gradients = [np.random.default_rng(0).normal(size=w.shape).astype("f") for w in before]
    plain, scaled = [], []
    for found, some_rates in ((plain, None), (scaled, rates)):
        model.set_weights(before)
        optimizer_of(name, some_rates).apply(
            list(map(keras.ops.convert_to_tensor, gradients)), model.trainable_variables
        )
        found.append(changes(model, before))
    for layer, factor in zip(NAMES, (0.25, 0.5, 1.0), strict=True):
        for found, expected in zip(scaled[0][layer], plain[0][layer], strict=True):
            assert np.any(expected)
            np.testing.assert_allclose(found, factor * expected, rtol=1e-4, atol=1e-6)


class Recorder(keras.callbacks.Callback):
    """Keeps the weights before training and after each batch."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.weights = [self.model.get_weights()]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.weights.append(self.model.get_weights())


@OPTIMIZERS
def test_frozen_layers_do_not_move_in_a_fit_until_it_is_their_turn(name):
    model, recorder = network(), Recorder()
    rates = LayerRates(GROUPS, decay=0.5, unfreeze_fraction=0.4)
    optimizer = optimizer_of(name, rates, steps=10, weight_decay=0.1)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    generator = np.random.default_rng(0)
    words, labels = generator.integers(0, 10, (20, 5)), generator.integers(0, 3, 20)
    model.fit(words, labels, batch_size=4, epochs=2, verbose=0, callbacks=[recorder])
    moved = {name: [] for name in NAMES}
    for before, after in zip(recorder.weights, recorder.weights[1:], strict=False):
        model.set_weights(after)
        for layer, values in changes(model, before).items():
            moved[layer].append(any(np.any(value) for value in values))
    assert moved["logits"] == [True] * 10
    assert moved["recurrent"] == [False] * 2 + [True] * 8
    assert moved["word_vectors"] == [False] * 4 + [True] * 6


@OPTIMIZERS
def test_weight_decay_has_the_rate_of_the_layer(name):
    rates = LayerRates(GROUPS, decay=0.5, unfreeze_fraction=0.4)
    model = network()
    optimizer = optimizer_of(name, rates, steps=10, weight_decay=0.3)
    zeros = [keras.ops.zeros(weight.shape) for weight in model.weights]
    expected = [2.0] * 5
    model.set_weights([np.full(weight.shape, 2.0) for weight in model.weights])
    for step in range(6):
        optimizer.apply(zeros, model.trainable_variables)
        factors = (0.25 * (step >= 4), 0.5 * (step >= 2), 0, 1, 0)  # none for biases
        expected = [e * (1 - RATE * 0.3 * f) for e, f in zip(expected, factors, strict=True)]
    for weight, value in zip(model.weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-5, err_msg=weight.path)


def test_a_step_without_rates_is_not_touched():
    assert type(optimizer_of("sgd", None)) is keras.optimizers.SGD
    assert isinstance(optimizer_of("sgd", LayerRates(GROUPS, 0.5, 0.0)), keras.optimizers.SGD)
