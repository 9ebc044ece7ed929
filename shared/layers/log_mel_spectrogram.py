"""Waveforms to log-mel spectrograms, with TensorFlow ops: the same in training and in serving."""

import math
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

_SILENCE = 1e-10  # a power below the rounding noise of 16-bit samples
_PARTS = 2  # of a batch, for two cores: what an op shares out itself is too little for each
_VARIANCE_FLOOR = 0.01  # of a log power, which varies by 1 and more where there is any sound


@keras.saving.register_keras_serializable("quartet")
class LogMelSpectrogram(keras.layers.Layer):
    """The logarithm of a mel spectrogram, equal to librosa's.

    The powers are those of `librosa.feature.melspectrogram` with its own defaults: Hann window,
    Slaney's mel scale with filters of equal area (Slaney, Auditory Toolbox, 1998). The logarithm is
    natural and keeps a dynamic range below the strongest power of the row, as
    `librosa.power_to_db` does with `top_db`: what lies deeper is noise of the recorder, or what a
    conversion from a lower sample rate left in the bins above it. Frame t is centred on sample
    `t * hop_length`, and the waveform counts as zero outside its ends: a row has the same frames
    alone and in a batch that is padded with zeros.

    Args:
        sample_rate: int. Samples per second of the waveforms.
        mel_bins: int. Number of mel filters.
        window_length: int. Samples of a frame.
        hop_length: int. Samples from one frame to the next.
        fft_length: int, even, at least `window_length`. Frames are padded with zeros to it.
        lowest_frequency: float, in Hz. Where the first filter begins.
        highest_frequency: float, in Hz. Where the last filter ends; by default half the sample
            rate.
        dynamic_range: float, in dB.

    Call arguments:
        waveform: float32 `(batch, samples)`, in [-1, 1], padded with zeros.

    Returns:
        Float32 `(batch, frames, mel_bins)` with `frames = 1 + samples // hop_length`. How many
        frames are a row's own, `frames(lengths)` tells.

    Raises:
        ValueError: If a length, rate or frequency does not fit the others, or so many filters are
            asked for that one would lie between two bins of the Fourier transform.
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        mel_bins: int = 80,
        window_length: int = 400,
        hop_length: int = 160,
        fft_length: int = 512,
        lowest_frequency: float = 20.0,
        highest_frequency: float | None = None,
        dynamic_range: float = 80.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")  # Half precision holds neither powers nor samples.
        super().__init__(**kwargs)
        if not 1 <= hop_length or not 1 <= window_length <= fft_length or fft_length % 2:
            raise ValueError(
                f"hop_length is {hop_length}, window_length {window_length} and fft_length "
                f"{fft_length} samples; expected at least 1 of each, an even fft_length and a "
                "window no longer than it."
            )
        self.sample_rate = sample_rate
        self.mel_bins = mel_bins
        self.window_length = window_length
        self.hop_length = hop_length
        self.fft_length = fft_length
        self.lowest_frequency = lowest_frequency
        self.highest_frequency = sample_rate / 2 if highest_frequency is None else highest_frequency
        self.dynamic_range = dynamic_range
        self._window = _hann_window(window_length, fft_length)
        self._filters = mel_filters(
            sample_rate, fft_length, mel_bins, lowest_frequency, self.highest_frequency
        )

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(waveform)[0]
        bounds = [rows * part // _PARTS for part in range(_PARTS + 1)]
        return tf.concat([self._transform(waveform[a:b]) for a, b in pairwise(bounds)], axis=0)

    def frames(self, lengths: tf.Tensor) -> tf.Tensor:
        """Returns how many frames lie in rows of `lengths` samples; both int32 `(batch,)`."""
        return ops.where(lengths > 0, 1 + lengths // self.hop_length, 0)

    def _transform(self, waveform: tf.Tensor) -> tf.Tensor:
        # Half a frame on each side; concatenated in half the time of `tf.pad`.
        silence = tf.zeros((tf.shape(waveform)[0], self.fft_length // 2))
        padded = tf.concat([silence, waveform, silence], axis=1)
        frames = _frame(padded, self.fft_length, self.hop_length)
        spectrum = tf.signal.rfft(frames * self._window)
        # Real and imaginary parts have the same filters: the product adds their squares.
        squares = tf.square(tf.bitcast(spectrum, tf.float32))
        filters = np.repeat(self._filters, 2, axis=0)
        mel = tf.matmul(tf.reshape(squares, (-1, len(filters))), filters)
        # One vector for each row: its maximum and its floor are found faster than in a matrix.
        mel = tf.reshape(mel, (-1, tf.shape(frames)[1] * self.mel_bins))
        strongest = tf.reduce_max(mel, axis=1, keepdims=True)
        floor = tf.maximum(strongest * 10 ** (-self.dynamic_range / 10), _SILENCE)
        log_mel = tf.math.log(tf.maximum(mel, floor))
        return tf.reshape(log_mel, (-1, tf.shape(frames)[1], self.mel_bins))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, samples = input_shape
        frames = None if samples is None else 1 + samples // self.hop_length
        return batch, frames, self.mel_bins

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "mel_bins": self.mel_bins,
            "window_length": self.window_length,
            "hop_length": self.hop_length,
            "fft_length": self.fft_length,
            "lowest_frequency": self.lowest_frequency,
            "highest_frequency": self.highest_frequency,
            "dynamic_range": self.dynamic_range,
        }


@keras.saving.register_keras_serializable("quartet")
class PerUtteranceNormalization(keras.layers.Layer):
    """Gives every feature of a row mean 0 and variance 1 over the row's own frames.

    It takes away what loudness, microphone and room add to a log spectrogram. A feature that does
    not vary, as in a row of one frame or of silence, becomes 0.

    Args:
        per_feature: Whether each feature has its own mean and variance. If all features of a row
            share them, loudness alone is taken away: in a short clip the mean spectrum tells which
            word it is.

    Call arguments:
        inputs: float `(batch, frames, features)`.
        mask: bool `(batch, frames)`; frames where it is false do not count and become 0.

    Returns:
        Float32 `(batch, frames, features)`.
    """

    def __init__(self, per_feature: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.per_feature = per_feature
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is None:
            mask = tf.ones(tf.shape(inputs)[:2], tf.bool)
        weights = tf.cast(mask, inputs.dtype)[:, :, tf.newaxis]
        axes = [1] if self.per_feature else [1, 2]

        def average(values: tf.Tensor) -> tf.Tensor:
            weighted = tf.broadcast_to(weights, tf.shape(values))
            count = tf.maximum(tf.reduce_sum(weighted, axes, keepdims=True), 1.0)
            return tf.reduce_sum(values * weighted, axes, keepdims=True) / count

        centered = (inputs - average(inputs)) * weights
        return centered * tf.math.rsqrt(average(tf.square(centered)) + _VARIANCE_FLOOR)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per_feature": self.per_feature}


def _frame(samples: tf.Tensor, length: int, hop: int) -> tf.Tensor:
    """Frames `(batch, frames, length)` of rows, as `tf.signal.frame` in a third of its ops."""
    count = 1 + (tf.shape(samples)[1] - length) // hop
    size = math.gcd(length, hop)
    pieces = tf.shape(samples)[1] // size
    pieces = tf.reshape(samples[:, : pieces * size], (-1, pieces, size))
    places = tf.range(count)[:, tf.newaxis] * (hop // size) + tf.range(length // size)
    return tf.reshape(tf.gather(pieces, places, axis=1), (-1, count, length))


def mel_filters(
    sample_rate: int,
    fft_length: int,
    mel_bins: int,
    lowest_frequency: float,
    highest_frequency: float,
) -> np.ndarray:
    """Triangles on Slaney's mel scale, each of area 1 over frequency.

    Args:
        sample_rate: samples per second.
        fft_length: length of the Fourier transform in samples.
        mel_bins: number of filters.
        lowest_frequency: where the first filter begins, in Hz.
        highest_frequency: where the last filter ends, in Hz.

    Returns:
        Float32 `(fft_length // 2 + 1, mel_bins)`.

    Raises:
        ValueError: If the frequencies do not fit, or a filter has no bin of the transform.
    """
    if mel_bins < 1 or not 0 <= lowest_frequency < highest_frequency <= sample_rate / 2:
        raise ValueError(
            f"mel_bins is {mel_bins}, from {lowest_frequency} to {highest_frequency} Hz; expected "
            f"at least one bin and 0 <= lowest < highest <= {sample_rate / 2} Hz, half the "
            "sample rate."
        )
    mels = np.linspace(
        _hertz_to_mel(lowest_frequency), _hertz_to_mel(highest_frequency), mel_bins + 2
    )
    edges = _mel_to_hertz(mels)
    lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.linspace(0, sample_rate / 2, fft_length // 2 + 1)[:, np.newaxis]
    rising, falling = (
        (frequencies - lower) / (center - lower),
        (upper - frequencies) / (upper - center),
    )
    triangles = np.maximum(0, np.minimum(rising, falling))
    if not triangles.any(axis=0).all():
        raise ValueError(
            f"{mel_bins} mel bins from {lowest_frequency} to {highest_frequency} Hz are too many "
            f"for an fft_length of {fft_length} at {sample_rate} Hz: a filter lies between two "
            "bins of the transform. Use fewer mel bins or a larger fft_length."
        )
    return (triangles * 2 / (upper - lower)).astype(np.float32)


def _hann_window(length: int, fft_length: int) -> np.ndarray:
    """The periodic window, as for every spectrogram, in the middle of `fft_length` samples."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    before = (fft_length - length) // 2
    return np.pad(window, (before, fft_length - length - before)).astype(np.float32)


# Slaney's scale: linear up to 1000 Hz, which is mel 15, and logarithmic above, 27 mel for a
# factor of 6.4.
_LINEAR_HERTZ_PER_MEL = 200 / 3
_LOG_STEP = np.log(6.4) / 27
_CORNER_HERTZ, _CORNER_MEL = 1000.0, 15.0


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _CORNER_HERTZ:
        return hertz / _LINEAR_HERTZ_PER_MEL
    return _CORNER_MEL + float(np.log(hertz / _CORNER_HERTZ)) / _LOG_STEP


def _mel_to_hertz(mels: np.ndarray) -> np.ndarray:
    logarithmic = _CORNER_HERTZ * np.exp(_LOG_STEP * (mels - _CORNER_MEL))
    return np.where(mels < _CORNER_MEL, mels * _LINEAR_HERTZ_PER_MEL, logarithmic)
