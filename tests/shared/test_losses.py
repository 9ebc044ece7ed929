from typing import get_args

import keras
import numpy as np
import pytest
from scipy.special import erf, expit, log_softmax, softmax

from apps.image_recognition.config import Activation, Config, ModelConfig
from apps.image_recognition.model import build_model
from apps.image_recognition.preprocess import ImagePreprocess
from shared.losses import SoftmaxMeanSquaredError, build_classification_loss
from shared.training.config import LossConfig

CLASSES = 5
BOTH = pytest.mark.parametrize("name", ["cross_entropy", "mean_squared_error"])
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "celu": lambda x: np.maximum(x, 0) + np.minimum(np.expm1(x), 0),
    "relu6": lambda x: np.clip(x, 0, 6),
}


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Targets, some of them blended as mixup does, and logits."""
    generator = np.random.default_rng(0)
    one_hot = np.eye(CLASSES)[generator.integers(0, CLASSES, 6)]
    targets = np.concatenate([one_hot[:4], 0.3 * one_hot[4:] + 0.7 * one_hot[:2]])
    return targets.astype("float32"), generator.normal(0, 3, (6, CLASSES)).astype("float32")


def losses(name: str, smoothing: float) -> np.ndarray:
    """The loss of each example, from the formulas."""
    targets, logits = examples()
    targets = targets * (1 - smoothing) + smoothing / CLASSES
    if name == "cross_entropy":
        return -np.sum(targets * log_softmax(logits, axis=-1), axis=-1)
    return np.mean((softmax(logits, axis=-1) - targets) ** 2, axis=-1)


@BOTH
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_the_mean_over_examples(name, smoothing):
    loss = build_classification_loss(LossConfig(name, smoothing))
    assert float(loss(*examples())) == pytest.approx(losses(name, smoothing).mean(), rel=1e-5)


@BOTH
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_example_is_weighed(name, smoothing):
    weights = np.array([0.0, 1.0, 2.0, 0.5, 4.0, 1.0], "float32")
    loss = build_classification_loss(LossConfig(name, smoothing))
    expected = (weights * losses(name, smoothing)).mean()
    actual = float(loss(*examples(), sample_weight=weights))
    assert actual == pytest.approx(expected, rel=1e-5)


@BOTH
def test_certain_logits_give_finite_losses(name):
    targets = np.eye(2, dtype="float32")
    loss = build_classification_loss(LossConfig(name))
    assert float(loss(targets, 1e4 * targets)) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(float(loss(targets, -1e4 * targets)))


def test_the_squared_error_of_opposite_certainty_is_one():
    targets = np.eye(2, dtype="float32")
    loss = build_classification_loss(LossConfig("mean_squared_error"))
    assert float(loss(targets, -100 * targets)) == pytest.approx(1.0)


@BOTH
def test_a_loss_survives_serialisation(name):
    smoothing = 0.2
    loss = build_classification_loss(LossConfig(name, smoothing))
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(restored) is type(loss)
    assert float(restored(*examples())) == pytest.approx(losses(name, smoothing).mean(), rel=1e-5)


def test_names_are_those_of_the_configuration():
    loss = build_classification_loss(LossConfig("mean_squared_error"))
    assert isinstance(loss, SoftmaxMeanSquaredError)
    assert loss.name == "mean_squared_error"


def test_every_activation_has_its_formula():
    assert set(ACTIVATIONS) == set(get_args(Activation))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_follow_their_formulas(name):
    x = np.linspace(-8, 8, 161)
    actual = keras.layers.Activation(name)(x.astype("float32"))
    np.testing.assert_allclose(actual, ACTIVATIONS[name](x), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_hidden_layer_of_the_model_has_the_activation(name):
    config = Config(model=ModelConfig(widths=(2, 3), blocks=(1, 0), activation=name))
    model = build_model(config, ImagePreprocess(4, 4, 1), ("a", "b"))
    used = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    assert len(used) == 4
    assert all(layer.activation is keras.activations.get(name) for layer in used)
    logits = model(np.random.default_rng(0).normal(size=(2, 4, 4, 1)))
    assert logits.shape == (2, 2)
    assert np.all(np.isfinite(logits))
