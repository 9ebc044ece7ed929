"""The network for intent and slots."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.nlu.config import BEST, QUICK, AugmentationConfig, ModelConfig
from apps.nlu.model import build_loss, build_model, decode_tags
from apps.nlu.preprocess import TextPreprocess
from shared.training.config import ConfigError, LossConfig, TrainingConfig

SMALL = ModelConfig(
    word_size=6, character_size=4, character_filters=3, character_widths=(2, 3), units=5
)
LABELS = ("play", "stop", "wait")
LENGTHS = (4, 1, 3)


def preprocess(*slot_names: str) -> TextPreprocess:
    return TextPreprocess(list("abcdefgh"), [1] * 8, slot_names, word_characters=5)


def network(*slot_names: str, adversarial: float = 0.0, **changes: object) -> keras.Model:
    """A small network with weights that are not zero anywhere."""
    keras.utils.set_random_seed(0)
    augmentation = AugmentationConfig(adversarial=adversarial)
    config = replace(QUICK, model=replace(SMALL, **changes), augmentation=augmentation)
    model = build_model(config, preprocess(*(slot_names or ("x", "y"))), LABELS)
    generator = np.random.default_rng(0)
    model.set_weights(
        [
            generator.normal(0, 0.5, weight.shape) if weight.dtype.kind == "f" else weight
            for weight in model.get_weights()
        ]
    )
    return model


def batch(padding: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    mask = np.arange(4) < np.array(LENGTHS)[:, None]
    words = np.where(mask, generator.integers(1, 10, mask.shape), 0).astype(np.int32)
    letters = generator.integers(1, 257, (*mask.shape, 5)) * (np.arange(5) < 3)
    characters = np.where(mask[..., None], letters, 0).astype(np.int32)
    return {
        "characters": np.pad(characters, ((0, 0), (0, padding), (0, 0))),
        "words": np.pad(words, ((0, 0), (0, padding))),
    }


def targets() -> dict[str, np.ndarray]:
    slots = np.array([[0, 1, 2, 3], [3, -1, -1, -1], [1, 2, 0, -1]], np.int32)
    return {"intent": np.eye(3, dtype=np.float32), "slots": slots}


@pytest.mark.parametrize("config", [QUICK, BEST], ids=["quick", "best"])
def test_presets_give_a_logit_per_intent_and_an_emission_per_tag(config) -> None:
    outputs = build_model(config, preprocess("x", "y"), LABELS)(batch())
    assert outputs["intent"].shape == (3, 3)
    assert outputs["slots"].shape == (3, 4, 5)
    assert {output.dtype for output in outputs.values()} == {tf.float32}


@pytest.mark.parametrize("layers", [1, 2])
def test_a_row_alone_is_answered_as_in_a_padded_batch(layers: int) -> None:
    model = network(layers=layers)
    together = model(batch(padding=3))
    for row, length in enumerate(LENGTHS):
        alone = model({name: values[row : row + 1, :length] for name, values in batch().items()})
        np.testing.assert_allclose(alone["intent"][0], together["intent"][row], atol=1e-5)
        np.testing.assert_allclose(alone["slots"][0], together["slots"][row, :length], atol=1e-5)
    assert np.ptp(together["intent"].numpy(), axis=0).min() > 0.01


def test_a_row_without_words_spoils_nothing() -> None:
    model = network()
    inputs = {name: np.pad(v, ((0, 1), *[(0, 0)] * (v.ndim - 1))) for name, v in batch().items()}
    outputs, expected = model(inputs), model(batch())
    for name, values in outputs.items():
        np.testing.assert_allclose(values[:3], expected[name], atol=1e-6)
        assert np.all(np.isfinite(values))


def loss_and_gradients(
    model: keras.Model, gold: dict[str, np.ndarray]
) -> tuple[float, dict[str, np.ndarray]]:
    """The sum of both losses in training, and the gradient of each weight by path."""
    losses = build_loss(QUICK, model)
    with tf.GradientTape() as tape:
        outputs = model(batch(), training=True)
        total = sum(loss(gold[name], outputs[name]) for name, loss in losses.items())
    weights = {weight.path: weight.value for weight in model.trainable_variables}
    gradients = tape.gradient(total, weights)
    assert all(gradient is not None for gradient in gradients.values())
    return float(total), {
        path: tf.convert_to_tensor(gradient).numpy() for path, gradient in gradients.items()
    }


def test_every_weight_has_a_gradient() -> None:
    _, gradients = loss_and_gradients(network(layers=2), targets())
    for path, gradient in gradients.items():
        assert np.all(np.isfinite(gradient)) and np.any(gradient), path


@pytest.mark.parametrize("adversarial", [0.0, 0.3])
def test_training_makes_both_losses_small(adversarial: float) -> None:
    model = network(adversarial=adversarial, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.02), build_loss(QUICK, model))
    first = model.test_on_batch(batch(), targets(), return_dict=True)
    for _ in range(120):
        model.train_on_batch(batch(), targets())
    last = model.test_on_batch(batch(), targets(), return_dict=True)
    assert last["loss"] < 0.1 * first["loss"]
    outputs = model.predict_on_batch(batch())
    assert outputs["intent"].argmax(axis=-1).tolist() == [0, 1, 2]
    tags = ("O", "B-x", "I-x", "B-y", "I-y")
    expected = [[tags[tag] for tag in row if tag >= 0] for row in targets()["slots"]]
    assert decode_tags(model, batch(), outputs) == expected


def test_dropout_works_in_training_only() -> None:
    model = network()
    for name in ("intent", "slots"):
        np.testing.assert_array_equal(model(batch())[name], model(batch())[name])
        first, second = (model(batch(), training=True)[name].numpy() for _ in range(2))
        assert np.any(first != second)


def test_without_slots_there_is_one_tag() -> None:
    model = build_model(replace(QUICK, model=SMALL), preprocess(), LABELS)
    gold = {**targets(), "slots": np.minimum(targets()["slots"], 0)}
    loss, gradients = loss_and_gradients(model, gold)
    assert np.isfinite(loss)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients.values())
    assert decode_tags(model, batch(), model(batch())) == [["O"] * length for length in LENGTHS]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_reduced_precision_gives_float32_outputs_and_trains(precision: str) -> None:
    expected = network()(batch())
    keras.config.set_dtype_policy(precision)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = tf.function(model)(batch())
    for name, values in outputs.items():
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, expected[name], atol=0.15)
    loss, gradients = loss_and_gradients(model, targets())
    assert np.isfinite(loss)
    assert {gradient.dtype.name for gradient in gradients.values()} == {"float32"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": LossConfig(name="mean_squared_error")}, "trained with cross_entropy"),
        ({"training": TrainingConfig(xla=True)}, "--training.xla does not go with"),
    ],
)
def test_what_the_network_cannot_be_trained_with_is_refused(change, message) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(QUICK, **change)
