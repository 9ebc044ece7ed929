"""The networks for texts: a classifier, a language model, and one that starts from the other."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.nlp.config import (
    BEST,
    QUICK,
    AugmentationConfig,
    Config,
    FineTuningConfig,
    ModelConfig,
    TextConfig,
)
from apps.nlp.model import (
    ENCODER_FILE,
    ENCODER_LAYERS,
    build_layer_rates,
    build_loss,
    build_model,
    keep,
    log_likelihoods,
    read_encoder,
)
from apps.nlp.preprocess import TextPreprocess
from shared.training.config import ConfigError, LossConfig, TrainingConfig

LABELS = ("bad", "fine", "good")
WORDS = "a b c d e f g h"
LENGTHS = (6, 3, 4)

Random = Callable[..., Any]


def batch(padding: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    mask = np.arange(6) < np.array(LENGTHS)[:, None]
    words = np.where(mask, generator.integers(1, 10, mask.shape), 0)
    ngrams = np.where(mask, generator.integers(1, 1024, mask.shape), 0)
    return {
        name: np.pad(values, ((0, 0), (0, padding))).astype(np.int32)
        for name, values in (("words", words), ("ngrams", ngrams))
    }


def words_only(padding: int = 0) -> dict[str, np.ndarray]:
    return {"words": batch(padding)["words"]}


def preprocess(ngrams: int = 2, bits: int = 20) -> TextPreprocess:
    return TextPreprocess(WORDS.split(), 3, 5, ngrams, bits)


def targets(names: list[str]) -> dict[str, np.ndarray]:
    """Classes for a classifier, the words on both sides for a language model."""
    if "next" not in names:
        return dict.fromkeys(names, np.eye(3, dtype=np.float32))
    words = np.pad(batch()["words"], ((0, 0), (1, 1)))
    return {
        "next": np.where(words[:, 2:] > 0, words[:, 2:], -1),
        "previous": np.where((words[:, :-2] > 0) & (words[:, 1:-1] > 0), words[:, :-2], -1),
    }


@pytest.mark.parametrize("config", [QUICK, BEST], ids=["quick", "best"])
def test_presets_give_a_logit_per_class_twice(config: Config) -> None:
    layer = preprocess(config.model.ngrams, config.model.ngram_bits)
    outputs = build_model(config, layer, LABELS)(batch())
    assert outputs.keys() == {"recurrent_logits", "ngram_logits"}
    assert {(output.shape, output.dtype) for output in outputs.values()} == {((3, 3), tf.float32)}


def test_without_ngrams_there_is_one_output() -> None:
    outputs = build_model(QUICK, preprocess(ngrams=0), LABELS)(words_only())
    assert {name: output.shape for name, output in outputs.items()} == {"recurrent_logits": (3, 3)}


@pytest.mark.parametrize("labels", [LABELS, ()], ids=["classifier", "language model"])
def test_a_row_alone_is_answered_as_in_a_padded_batch(random_nlp: Random, labels) -> None:
    model = random_nlp(*labels, words=WORDS).model
    inputs = batch if labels else words_only
    together = model(inputs(padding=3))
    for row, length in enumerate(LENGTHS):
        alone = model({name: v[row : row + 1, :length] for name, v in inputs().items()})
        for name, values in alone.items():
            found = together[name][row] if labels else together[name][row, :length]
            np.testing.assert_allclose(values[0], found, atol=1e-5, err_msg=name)
    for values in together.values():
        assert np.ptp(values.numpy(), axis=0).max() > 0.01


def test_a_row_without_words_spoils_nothing(random_nlp: Random) -> None:
    model = random_nlp(*LABELS, words=WORDS).model
    inputs = {name: np.pad(values, ((0, 1), (0, 0))) for name, values in batch().items()}
    outputs, expected = model(inputs), model(batch())
    for name, values in outputs.items():
        np.testing.assert_allclose(values[:3], expected[name], atol=1e-6)
        assert np.all(np.isfinite(values))


def adversarial_network(size: float, learning_rate: float) -> keras.Model:
    keras.utils.set_random_seed(0)
    settings = replace(QUICK.model, word_size=8, units=8, dropout=0.0)
    augmentation = AugmentationConfig(adversarial=size)
    config = replace(QUICK, model=settings, augmentation=augmentation)
    model = build_model(config, preprocess(ngrams=0), LABELS)
    model.compile(keras.optimizers.Adam(learning_rate), build_loss(config, model))
    return model


def test_a_network_trained_on_changed_words_loses_less_by_them() -> None:
    gold, losses = targets(["recurrent_logits"]), {}
    probe = adversarial_network(3.0, learning_rate=0.0)
    for size in (0.0, 3.0):
        model = adversarial_network(size, learning_rate=0.03)
        for _ in range(40):
            model.train_on_batch(words_only(), gold)
        probe.set_weights(model.get_weights())
        probe.reset_metrics()
        losses[size] = probe.train_on_batch(words_only(), gold, return_dict=True)["loss"]
    assert losses[3.0] < 0.5 * losses[0.0]


def loss_and_gradients(
    config: Config, model: keras.Model
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The loss of each output in training, and the gradient of each weight by path."""
    inputs = {name: batch()[name] for name in model.input}
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        gold, losses = targets(model.output_names), build_loss(config, model)
        values = {name: loss(gold[name], outputs[name]) for name, loss in losses.items()}
        total = tf.add_n(list(values.values()))
    weights = {weight.path: weight.value for weight in model.trainable_variables}
    gradients = tape.gradient(total, weights)
    assert all(gradient is not None for gradient in gradients.values())
    return {name: value.numpy() for name, value in values.items()}, {
        path: tf.convert_to_tensor(gradient).numpy() for path, gradient in gradients.items()
    }


@pytest.mark.parametrize("labels", [LABELS, ()], ids=["classifier", "language model"])
def test_every_weight_has_a_gradient(random_nlp: Random, labels) -> None:
    trained = random_nlp(*labels, words=WORDS)
    _, gradients = loss_and_gradients(trained.config, trained.model)
    for path, gradient in gradients.items():
        assert np.all(np.isfinite(gradient)) and np.any(gradient), path


@pytest.mark.parametrize("labels", [LABELS, ()], ids=["classifier", "language model"])
def test_training_makes_every_loss_small(random_nlp: Random, labels) -> None:
    trained = random_nlp(*labels, words=WORDS)
    model, names = trained.model, trained.model.output_names
    inputs = {name: batch()[name] for name in model.input}
    model.compile(keras.optimizers.Adam(0.03), build_loss(trained.config, model))
    first = model.test_on_batch(inputs, targets(names), return_dict=True)
    for _ in range(150):
        model.train_on_batch(inputs, targets(names))
    last = model.test_on_batch(inputs, targets(names), return_dict=True)
    assert last["loss"] < (0.2 if labels else 0.5) * first["loss"]
    if labels:
        for logits in model.predict_on_batch(inputs).values():
            assert logits.argmax(axis=1).tolist() == [0, 1, 2]


def test_losses_of_several_labels_are_those_of_each_label(random_nlp: Random) -> None:
    trained = random_nlp(*LABELS, words=WORDS, label_separator="|")
    logits = {name: output.numpy() for name, output in trained.model(batch()).items()}
    gold = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1]], np.float32)
    for name, loss in build_loss(trained.config, trained.model).items():
        chance = 1 / (1 + np.exp(-logits[name].astype(np.float64)))
        expected = -np.log(np.where(gold > 0, chance, 1 - chance)).mean()
        assert float(loss(gold, logits[name])) == pytest.approx(expected, rel=1e-4)


def test_dropout_works_in_training_only(random_nlp: Random) -> None:
    model = random_nlp(*LABELS, words=WORDS).model
    name = "recurrent_logits"
    np.testing.assert_array_equal(model(batch())[name], model(batch())[name])
    assert np.any(model(batch(), training=True)[name] != model(batch(), training=True)[name])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("labels", [LABELS, ()], ids=["classifier", "language model"])
def test_reduced_precision_gives_float32_and_trains(random_nlp, labels, precision: str) -> None:
    expected = random_nlp(*labels, words=WORDS).model
    keras.config.set_dtype_policy(precision)
    try:
        trained = random_nlp(*labels, words=WORDS)
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = {name: batch()[name] for name in trained.model.input}
    for name, values in trained.model(inputs).items():
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, expected(inputs)[name], atol=0.2)
    losses, gradients = loss_and_gradients(trained.config, trained.model)
    assert np.all(np.isfinite(list(losses.values())))
    assert {gradient.dtype.name for gradient in gradients.values()} == {"float32"}
    if not labels:
        found, _ = log_likelihoods(trained.model, inputs["words"])
        np.testing.assert_allclose(found, log_likelihoods(expected, inputs["words"])[0], atol=0.5)


def test_words_before_do_not_see_those_that_come(random_nlp: Random) -> None:
    model = random_nlp(words=WORDS).model
    words = words_only()["words"][:1]
    changed = words.copy()
    changed[0, 3] = words[0, 3] % 9 + 1
    before, after = model({"words": words}), model({"words": changed})
    np.testing.assert_allclose(before["next"][0, :3], after["next"][0, :3], atol=1e-6)
    np.testing.assert_allclose(before["previous"][0, 4:], after["previous"][0, 4:], atol=1e-6)
    assert np.any(before["next"][0, 3:] != after["next"][0, 3:])
    assert np.any(before["previous"][0, :4] != after["previous"][0, :4])


def pretrained(folder: Path, **changes: Any) -> Config:
    return replace(QUICK, pretrained=str(folder), **changes)


def test_a_classifier_starts_from_a_language_model(random_nlp: Random, tmp_path: Path) -> None:
    trained = random_nlp(words=WORDS)
    keep(trained, tmp_path)
    encoder = read_encoder(str(tmp_path))
    assert encoder.words == tuple(WORDS.split())
    config = pretrained(tmp_path, model=ModelConfig(word_size=99, units=99))
    model = build_model(config, preprocess(), LABELS)
    for name in ENCODER_LAYERS:
        weights = trained.model.get_layer(name).get_weights()
        for found in (encoder.weights[name], model.get_layer(name).get_weights()):
            assert len(found) == len(weights)
            for one, other in zip(found, weights, strict=True):
                np.testing.assert_array_equal(one, other)


def test_words_behind_those_of_the_language_model_are_new(
    random_nlp: Random, tmp_path: Path
) -> None:
    trained = random_nlp(words=WORDS)
    keep(trained, tmp_path)
    layer = TextPreprocess([*WORDS.split(), "zebra"], 3, 5, 2, 20)
    vectors = build_model(pretrained(tmp_path), layer, LABELS).get_layer("word_vectors")
    known = trained.model.get_layer("word_vectors").get_weights()[0]
    (found,) = vectors.get_weights()
    assert len(found) == len(known) + 1
    np.testing.assert_array_equal(found[:-1], known)


def test_classifiers_leave_nothing_to_start_from(random_nlp: Random, tmp_path: Path) -> None:
    keep(random_nlp(*LABELS, words=WORDS), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_no_language_model_is_refused(tmp_path: Path) -> None:
    def refused() -> None:
        message = f"--pretrained {re.escape(str(tmp_path))}: .*{ENCODER_FILE} cannot be read.*"
        with pytest.raises(ConfigError, match=message + "--task language_model"):
            build_model(pretrained(tmp_path), preprocess(), LABELS)

    refused()
    (tmp_path / ENCODER_FILE).write_bytes(b"PK\3\4 cut off")
    refused()
    np.savez(tmp_path / ENCODER_FILE, weights=np.zeros(3))
    refused()


def test_pretrained_layers_learn_later_and_less() -> None:
    assert build_layer_rates(QUICK) is None
    rates = build_layer_rates(pretrained(Path("runs"), fine_tuning=FineTuningConfig(0.5, 0.2)))
    assert (rates.decay, rates.unfreeze_fraction) == (0.5, 0.2)
    assert rates.groups == [[], ["recurrent"], ["word_vectors"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": LossConfig(name="mean_squared_error")}, "classified with cross_entropy"),
        ({"training": TrainingConfig(xla=True)}, "--training.xla does not go with"),
        ({"task": "language_model", "pretrained": "x"}, "--pretrained is for classification"),
        (
            {"task": "language_model", "training": TrainingConfig(class_weights=True)},
            "--training.class_weights is for texts with one label",
        ),
        (
            {
                "text": TextConfig(label_separator="|"),
                "training": TrainingConfig(class_weights=True),
            },
            "--training.class_weights is for texts with one label",
        ),
    ],
)
def test_what_the_network_cannot_be_trained_with_is_refused(change, message) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(QUICK, **change)
