"""Recordings made noisier and more distant, for training."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shared.layers.waveform_augmentation import WaveformAugmentation, check_range, to_amplitude

_NOISE_LENGTH = 2**15  # samples after which noise repeats itself, without a seam
_BABBLE_VOICES = 3
_FFT_MULTIPLE = 2**12  # lengths with small prime factors, which a Fourier transform likes


@keras.saving.register_keras_serializable("quartet")
class ColoredNoise(WaveformAugmentation):
    """Adds noise whose power falls with the frequency by a random power of it.

    Args:
        snr: (lowest, highest) ratio of signal to noise in dB. A silent row stays silent.
        slopes: (lowest, highest) exponent: 0 is white noise, 1 pink, 2 brown.
        probability: share of the rows that it changes.
    """

    def __init__(
        self,
        snr: Sequence[float] = (5.0, 30.0),
        slopes: Sequence[float] = (0.0, 2.0),
        probability: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(probability, **kwargs)
        self.snr = check_range("snr", snr)
        self.slopes = check_range("slopes", slopes)

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slopes = self.draw(lengths, self.slopes)[:, tf.newaxis]
        bins = _NOISE_LENGTH // 2
        amplitudes = tf.exp(-0.5 * slopes * np.log(np.arange(1, bins + 1, dtype=np.float32)))
        # Their sum over all bins is Gaussian, whatever the single ones are.
        parts = keras.random.uniform(
            (2, tf.size(lengths), bins), -1.0, 1.0, dtype="float32", seed=self.seed_generator
        )
        spectrum = tf.complex(parts[0] * amplitudes, parts[1] * amplitudes)
        period = tf.signal.irfft(tf.pad(spectrum, [[0, 0], [1, 0]]))
        width = tf.shape(samples)[1]
        noise = tf.tile(period, [1, 1 + width // _NOISE_LENGTH])[:, :width]
        return _add_noise(samples, noise, lengths, self.draw(lengths, self.snr)), lengths

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "snr": self.snr, "slopes": self.slopes}


@keras.saving.register_keras_serializable("quartet")
class Babble(WaveformAugmentation):
    """Adds other rows of the batch, played backwards so that they say nothing.

    Args:
        snr: (lowest, highest) ratio of signal to babble in dB. A silent row stays silent.
        probability: share of the rows that it changes; the babble is taken from these.
    """

    def __init__(
        self, snr: Sequence[float] = (10.0, 30.0), probability: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(probability, **kwargs)
        self.snr = check_range("snr", snr)

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        voices = [tf.roll(samples, voice, axis=0) for voice in range(1, _BABBLE_VOICES + 1)]
        babble = tf.reverse(tf.add_n(voices), axis=[1])
        return _add_noise(samples, babble, lengths, self.draw(lengths, self.snr)), lengths

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "snr": self.snr}


@keras.saving.register_keras_serializable("quartet")
class Reverberation(WaveformAugmentation):
    """Puts the speaker into a room: convolution with noise that dies away exponentially.

    Such noise is what the reflections of a room become after the first few (Polack, 1988). The
    direct sound stays where it is, and the loudness and the length of a row are kept.

    Args:
        sample_rate: int, in Hz.
        seconds: (shortest, longest) time in which the reverberation falls by 60 dB.
        direct_to_reverberant: (lowest, highest) ratio in dB; the lower, the further the speaker.
        probability: share of the rows that it changes.
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        seconds: Sequence[float] = (0.1, 0.6),
        direct_to_reverberant: Sequence[float] = (0.0, 15.0),
        probability: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(probability, **kwargs)
        self.sample_rate = sample_rate
        self.seconds = check_range("seconds", seconds)
        if self.seconds[0] <= 0:
            raise ValueError(f"seconds is {seconds}; expected more than 0.")
        self.direct_to_reverberant = check_range("direct_to_reverberant", direct_to_reverberant)

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        responses = self._draw_responses(lengths)
        width = tf.shape(samples)[1]
        size = width + tf.shape(responses)[1]
        size = [(size + _FFT_MULTIPLE - 1) // _FFT_MULTIPLE * _FFT_MULTIPLE]
        product = tf.signal.rfft(samples, size) * tf.signal.rfft(responses, size)
        return tf.signal.irfft(product, size)[:, :width], lengths

    def _draw_responses(self, lengths: tf.Tensor) -> tf.Tensor:
        """Impulse responses `(batch, samples)` of energy 1."""
        shape = (tf.size(lengths), int(self.seconds[1] * self.sample_rate))
        seconds = self.draw(lengths, self.seconds)[:, tf.newaxis]
        time = np.arange(shape[1], dtype=np.float32) / self.sample_rate
        noise = keras.random.normal(shape, dtype="float32", seed=self.seed_generator)
        tail = noise * tf.exp(-np.log(1000.0) * time / seconds)
        ratio = to_amplitude(self.draw(lengths, self.direct_to_reverberant))
        direct = ratio * tf.norm(tail, axis=1)
        return tf.math.l2_normalize(tf.concat([direct[:, tf.newaxis], tail], axis=1), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "seconds": self.seconds,
            "direct_to_reverberant": self.direct_to_reverberant,
        }


def _add_noise(
    samples: tf.Tensor, noise: tf.Tensor, lengths: tf.Tensor, snr: tf.Tensor
) -> tf.Tensor:
    """Adds noise of the shape of `samples` at ratios `(batch,)` in dB over each row's length."""
    noise = tf.where(tf.sequence_mask(lengths, tf.shape(samples)[1]), noise, 0.0)
    ratio = tf.math.divide_no_nan(tf.norm(samples, axis=1), tf.norm(noise, axis=1))
    return samples + (ratio / to_amplitude(snr))[:, tf.newaxis] * noise
