"""Recordings made louder, later and faster, for training; `noise_augmentation` has noise and rooms.

All layers take padded waveforms with their lengths and return the same. They act with
`training=True` only, each on rows that it chooses with a probability of its own.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shared.layers.resampling import resample


class WaveformAugmentation(keras.layers.Layer):
    """What all have in common: the choice of rows, random numbers, and what happens while serving.

    Call arguments:
        samples: float32 `(batch, samples)`, padded with zeros.
        lengths: int32 `(batch,)`, in samples.
        training: Whether to act; otherwise samples and lengths are returned.

    Returns:
        Samples and lengths, as they came in; the padding is zero.
    """

    def __init__(self, probability: float, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability is {probability}; expected 0 to 1.")
        self.probability = probability
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, samples: tf.Tensor, lengths: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not training:
            return samples, lengths
        is_chosen = self.draw(lengths, (0.0, 1.0)) < self.probability
        return tf.cond(
            tf.reduce_any(is_chosen),
            lambda: self._augment_rows(samples, lengths, tf.where(is_chosen)),
            lambda: (samples, lengths),
        )

    def _augment_rows(
        self, samples: tf.Tensor, lengths: tf.Tensor, rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        changed, changed_lengths = self.augment(
            tf.gather_nd(samples, rows), tf.gather_nd(lengths, rows)
        )
        width = tf.maximum(tf.shape(samples)[1], tf.shape(changed)[1])
        changed = tf.where(tf.sequence_mask(changed_lengths, width), _widen(changed, width), 0.0)
        return (
            tf.tensor_scatter_nd_update(_widen(samples, width), rows, changed),
            tf.tensor_scatter_nd_update(lengths, rows, changed_lengths),
        )

    @abstractmethod
    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Changes the chosen rows, at least one; what it leaves behind their ends is cut off."""

    def draw(self, lengths: tf.Tensor, limits: Sequence[float]) -> tf.Tensor:
        """Float32 `(batch,)`, one number between the limits for each row."""
        return keras.random.uniform(
            tf.shape(lengths), *limits, dtype="float32", seed=self.seed_generator
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable("quartet")
class Gain(WaveformAugmentation):
    """Makes rows louder or softer.

    Args:
        decibels: (lowest, highest) gain.
        probability: share of the rows that it changes.
    """

    def __init__(
        self,
        decibels: Sequence[float] = (-12.0, 6.0),
        probability: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(probability, **kwargs)
        self.decibels = check_range("decibels", decibels)

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        factors = to_amplitude(self.draw(lengths, self.decibels))
        return samples * factors[:, tf.newaxis], lengths

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decibels": self.decibels}


@keras.saving.register_keras_serializable("quartet")
class Shift(WaveformAugmentation):
    """Puts silence before rows, which become longer by it.

    Args:
        longest: int. Samples of silence that a row gets at most.
        probability: share of the rows that it changes.
    """

    def __init__(self, longest: int = 3200, probability: float = 1.0, **kwargs: Any) -> None:
        super().__init__(probability, **kwargs)
        if longest < 0:
            raise ValueError(f"longest is {longest} samples; expected 0 or more.")
        self.longest = longest

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifts = tf.cast(self.draw(lengths, (0.0, self.longest + 1.0)), tf.int32)
        lengths = lengths + shifts
        # Each row is read from where its own silence begins in that before all rows.
        padded = tf.pad(samples, [[0, 0], [self.longest, self.longest]])
        width = tf.shape(samples)[1] + self.longest
        shifted = tf.map_fn(
            lambda row: tf.slice(row[0], [self.longest - row[1]], [width]),
            (padded, shifts),
            fn_output_signature=tf.TensorSpec((None,), tf.float32),
        )
        return shifted[:, : tf.reduce_max(lengths)], lengths

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "longest": self.longest}


@keras.saving.register_keras_serializable("quartet")
class Speed(WaveformAugmentation):
    """Plays rows faster or slower, with the pitch that follows from it.

    Ko et al., "Audio augmentation for speech recognition", 2015,
    https://www.isca-archive.org/interspeech_2015/ko15_interspeech.html. A few speeds instead of a
    range, because rows of one speed are resampled together.

    Args:
        speeds: One is drawn for each row; 1.1 makes it shorter by a tenth.
        probability: share of the rows that it changes.
    """

    _RATE = 10_000  # Of this, speeds are whole parts.

    def __init__(
        self,
        speeds: Sequence[float] = (0.9, 0.95, 1.05, 1.1),
        probability: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(probability, **kwargs)
        if not speeds or not all(0.1 <= speed <= 10 for speed in speeds):
            raise ValueError(f"speeds are {speeds}; expected at least one, from 0.1 to 10.")
        self.speeds = tuple(speeds)

    def augment(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        choices = tf.cast(self.draw(lengths, (0.0, float(len(self.speeds)))), tf.int32)
        rates = [round(speed * self._RATE) for speed in self.speeds]
        return resample(samples, lengths, tf.gather(rates, choices), self._RATE)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "speeds": self.speeds}


def to_amplitude(decibels: tf.Tensor) -> tf.Tensor:
    """Returns the factors that gains in dB are."""
    return tf.exp(np.log(10.0) / 20 * decibels)


def check_range(name: str, limits: Sequence[float]) -> tuple[float, ...]:
    """Returns (lowest, highest), or raises a ValueError that names the argument."""
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ValueError(f"{name} is {limits}; expected (lowest, highest).")
    return tuple(limits)


def _widen(samples: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.pad(samples, [[0, 0], [0, width - tf.shape(samples)[1]]])
