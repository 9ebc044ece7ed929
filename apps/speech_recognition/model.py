"""The network: log-mel spectrogram, convolutions, bidirectional LSTMs, and a head for the task."""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from apps.speech_recognition.config import AudioConfig, Config
from apps.speech_recognition.preprocess import AudioPreprocess
from shared.layers.ctc_frames import mask_logits
from shared.layers.log_mel_spectrogram import LogMelSpectrogram, PerUtteranceNormalization
from shared.layers.pooling import AttentionPooling, MaskedMaxPooling
from shared.layers.recurrent import LSTM
from shared.layers.sequence_mask import SequenceMask
from shared.layers.spec_augment import SpecAugment
from shared.layers.subsampling import ConvolutionalSubsampling
from shared.layers.transcriber import Transcriber
from shared.losses import CTCLoss, build_classification_loss
from shared.training.app import Labels

Shape = tuple[int | None, ...]


def build_model(config: Config, preprocess: AudioPreprocess, labels: Labels) -> keras.Model:
    """Convolutions and bidirectional LSTMs over a spectrogram, as in Deep Speech 2.

    Amodei et al., 2016, https://arxiv.org/abs/1512.02595, smaller, with SpecAugment inside. Above
    them stands a layer of characters for transcription, or for keywords attention and maximum
    pooling with a layer of words.

    Args:
        config: Task, sizes and dropout.
        preprocess: Gives the waveforms.
        labels: The characters, or the keywords.

    Returns:
        A model from `waveform` float32 `(batch, samples)`, padded with zeros, and `length` int32
        `(batch,)` to logits, float32: for transcription `(batch, steps, characters + 1)`, the last
        for blank, which the steps behind a row's end have for certain; for keywords
        `(batch, classes)`.
    """
    settings, masks = config.model, config.augmentation
    waveform = keras.Input((None,), dtype="float32", name="waveform")
    length = keras.Input((), dtype="int32", name="length")
    spectrogram = build_spectrogram(config.audio)
    x = spectrogram(waveform)
    mask = SequenceMask()(x, spectrogram.frames(length))
    is_transcription = config.task == "transcription"
    x = PerUtteranceNormalization(per_feature=is_transcription)(x, mask=mask)
    x = SpecAugment(
        masks.frequency_masks, masks.frequency_width, masks.time_masks, masks.time_width
    )(x, mask=mask)
    subsampling = ConvolutionalSubsampling(settings.filters, settings.time_strides)
    x = subsampling(x, mask=mask)
    mask = subsampling.subsample_mask(mask)
    for _ in range(settings.layers):
        x = layers.Dropout(settings.dropout)(x)
        x = layers.LayerNormalization()(LSTM(settings.units, bidirectional=True)(x, mask=mask))
    if not is_transcription:
        pooled = [AttentionPooling(name="attention")(x, mask=mask), MaskedMaxPooling()(x, mask)]
        x = layers.Concatenate()(pooled)
    x = layers.Dropout(settings.dropout)(x)
    classes = len(labels) + is_transcription
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    if is_transcription:
        logits = Characters(labels, name="characters")(logits, mask=mask)
    return keras.Model({"waveform": waveform, "length": length}, logits, name="network")


def build_loss(config: Config, model: keras.Model) -> keras.losses.Loss:
    """CTC for transcription, cross-entropy or the configured loss for keywords."""
    return CTCLoss() if config.task == "transcription" else build_classification_loss(config.loss)


def build_transcriber(config: Config, preprocess: AudioPreprocess, labels: Labels) -> Transcriber:
    """What reads transcripts off the logits, as `config.decoding` wants it."""
    decoding = config.decoding
    return Transcriber(
        labels,
        seconds_per_step(config),
        decoding.beam_width,
        preprocess.language_model,
        decoding.ngram_weight,
        decoding.length_bonus,
    )


def seconds_per_step(config: Config) -> float:
    """Seconds between two steps of the network, the shortest time that a character takes."""
    return prod(config.model.time_strides) * config.audio.hop_milliseconds / 1000


def build_spectrogram(audio: AudioConfig) -> LogMelSpectrogram:
    """The layer from waveforms to log-mel spectrograms."""
    window = samples(audio, audio.window_milliseconds)
    return LogMelSpectrogram(
        audio.sample_rate,
        audio.mel_bins,
        window_length=window,
        hop_length=samples(audio, audio.hop_milliseconds),
        fft_length=1 << (window - 1).bit_length(),
    )


def samples(audio: AudioConfig, milliseconds: float) -> int:
    """The samples in some milliseconds."""
    return round(audio.sample_rate * milliseconds / 1000)


@keras.saving.register_keras_serializable("quartet.speech_recognition")
class Characters(keras.layers.Layer):
    """Makes the steps behind a row's end answer blank with certainty, as `mask_logits` does.

    Args:
        alphabet: The characters that the classes stand for, the blank being behind them.

    Call arguments:
        logits: float32 `(batch, steps, characters + 1)`.
        mask: bool `(batch, steps)`.
    """

    def __init__(self, alphabet: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alphabet = tuple(alphabet)
        self.supports_masking = True

    def call(self, logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return mask_logits(logits, tf.reduce_sum(tf.cast(mask, tf.int32), axis=1))

    def compute_mask(self, logits: tf.Tensor, mask: tf.Tensor) -> None:
        # The logits tell by themselves where a row ends; Keras would weigh the loss by a mask.
        return None

    def compute_output_shape(self, logits_shape: Shape, **_: Shape) -> Shape:
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alphabet": list(self.alphabet)}
