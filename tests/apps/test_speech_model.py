"""The networks of speech recognition: what padding, length and training change, and what not."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.speech_recognition.config import QUICK, Config, DecodingConfig, ModelConfig
from apps.speech_recognition.model import (
    build_loss,
    build_model,
    build_transcriber,
    seconds_per_step,
)
from apps.speech_recognition.preprocess import AudioPreprocess
from shared.layers.ctc_frames import NEVER, count_frames
from shared.layers.subsampling import ConvolutionalSubsampling
from shared.losses import CTCLoss
from shared.training.character_ngram_learning import learn_character_ngrams
from shared.training.config import ConfigError, LossConfig, TrainingConfig

ALPHABET = (" ", "a", "b")
SMALL = replace(QUICK, model=ModelConfig(filters=4, units=6, layers=2))


def build(config: Config, labels: tuple[str, ...] = ALPHABET) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model(config, AudioPreprocess(16_000, 60.0), labels)


def recordings(*lengths: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    waveform = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, length in zip(waveform, lengths, strict=True):
        row[:length] = generator.normal(0, 0.1, length)
    return {"waveform": waveform, "length": np.array(lengths, np.int32)}


@pytest.mark.parametrize("strides", [(2, 2), (3, 1), (2,)])
def test_a_row_alone_is_the_row_in_a_batch(strides: tuple[int, ...]) -> None:
    config = replace(SMALL, model=replace(SMALL.model, time_strides=strides))
    model = build(config)
    inputs = recordings(16_000, 9_999, 401, 0)
    together = model.predict_on_batch(inputs)
    steps = count_frames(together).numpy()
    for row, length in enumerate(inputs["length"][:3]):
        alone = model.predict_on_batch(
            {
                "waveform": inputs["waveform"][row : row + 1, :length],
                "length": inputs["length"][row : row + 1],
            }
        )
        assert alone.shape[1] == steps[row]
        np.testing.assert_allclose(together[row, : steps[row]], alone[0], atol=1e-5)
    assert steps[3] == 0


def test_steps_behind_the_end_are_blank() -> None:
    logits = build(SMALL).predict_on_batch(recordings(16_000, 3_000))
    steps = int(count_frames(logits)[1])
    assert steps < logits.shape[1]
    assert (logits[1, steps:, -1] == 0).all() and (logits[1, steps:, :-1] == NEVER).all()


def test_keywords_do_not_depend_on_padding() -> None:
    model = build(replace(SMALL, task="keywords"), ("no", "yes"))
    inputs = recordings(16_000, 5_000)
    alone = {"waveform": inputs["waveform"][1:, :5_000], "length": inputs["length"][1:]}
    together = model.predict_on_batch(inputs)
    assert together.shape == (2, 2)
    np.testing.assert_allclose(together[1], model.predict_on_batch(alone)[0], atol=1e-5)


def test_a_few_recordings_are_learnt_by_heart() -> None:
    config = replace(SMALL, model=replace(SMALL.model, dropout=0.0, units=16, layers=1))
    config = replace(
        config, augmentation=replace(config.augmentation, frequency_masks=0, time_masks=0)
    )
    model, inputs = build(config), recordings(16_000, 12_000)
    targets = np.array([[1, 2, 0], [2, -1, -1]], np.int32)
    model.compile(keras.optimizers.Adam(0.01), build_loss(config, model))
    losses = [float(model.train_on_batch(inputs, targets)) for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0] and np.isfinite(losses).all()


def test_the_loss_goes_with_the_task() -> None:
    assert isinstance(build_loss(SMALL, build(SMALL)), CTCLoss)
    keywords = replace(SMALL, task="keywords", loss=LossConfig(label_smoothing=0.1))
    assert not isinstance(build_loss(keywords, build(keywords)), CTCLoss)


def test_a_step_lasts_as_long_as_the_strides_make_it() -> None:
    assert seconds_per_step(SMALL) == pytest.approx(0.04)
    longer = replace(SMALL, model=replace(SMALL.model, time_strides=(3, 2)))
    assert seconds_per_step(longer) == pytest.approx(0.06)


def test_n_grams_guide_the_beam() -> None:
    # The network cannot tell "a" from "b"; the n-grams have seen "ab" alone.
    logits = np.full((1, 3, 4), -9.0, np.float32)
    logits[0, 0, 1:3] = [0.0, 0.1]
    logits[0, 1, 3] = 2.0
    logits[0, 2, 1:3] = [0.1, 0.0]
    config = replace(SMALL, decoding=DecodingConfig(beam_width=8, ngram_weight=1.0))
    model = learn_character_ngrams(["ab"] * 20, ALPHABET, 3)
    with_ngrams = build_transcriber(config, AudioPreprocess(16_000, 60.0, model), ALPHABET)
    greedy = build_transcriber(SMALL, AudioPreprocess(16_000, 60.0), ALPHABET)
    assert greedy(tf.constant(logits)).transcripts.numpy().tolist() == [b"ba"]
    assert with_ngrams(tf.constant(logits)).transcripts.numpy().tolist() == [b"ab"]


@pytest.mark.parametrize("strides", [(2, 2), (3,), (1, 2, 2)])
def test_subsampling_gives_the_steps_that_its_mask_says(strides: tuple[int, ...]) -> None:
    layer = ConvolutionalSubsampling(3, strides)
    generator = np.random.default_rng(0)
    for frames in range(1, 14):
        inputs = generator.normal(size=(1, 14, 9)).astype(np.float32)
        inputs[:, frames:] = 0
        mask = np.arange(14)[None] < frames
        outputs = layer(inputs, mask=mask)
        assert outputs.shape == layer.compute_output_shape((1, 14, 9))
        kept = np.asarray(layer.subsample_mask(mask))
        alone = layer(inputs[:, :frames], mask=mask[:, :frames])
        assert kept.sum() == alone.shape[1]
        np.testing.assert_allclose(outputs[:, : kept.sum()], alone, atol=1e-6)
        assert not np.any(np.asarray(outputs)[:, kept.sum() :])


@pytest.mark.parametrize(
    "change",
    [
        {"training": replace(QUICK.training, xla=True)},
        {"training": replace(QUICK.training, class_weights=True)},
        {"loss": LossConfig(label_smoothing=0.1)},
    ],
)
def test_what_does_not_go_together_is_refused(change: dict) -> None:
    with pytest.raises(ConfigError, match="Leave"):
        replace(QUICK, **change)


def test_class_weights_go_with_keywords() -> None:
    training = TrainingConfig(class_weights=True)
    assert replace(QUICK, task="keywords", training=training).training.class_weights
