"""SpecAugment: spectrograms with stripes left out, for training."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("quartet")
class SpecAugment(keras.layers.Layer):
    """Sets random stripes of mel bins and of frames to zero while training.

    Park et al., "SpecAugment", 2019, https://arxiv.org/abs/1904.08779, without time warping, which
    the paper found to matter least. Zero is the mean if the inputs are normalised. The stripes of
    one row do not depend on how far its batch is padded.

    Args:
        frequency_masks: int. Stripes over mel bins, per row.
        frequency_width: int. Mel bins that such a stripe has at most; the width is drawn evenly
            from 0 to this.
        time_masks: int. Stripes over frames, per row.
        time_width: int. Frames that such a stripe has at most.
        largest_time_share: float in [0, 1]. Share of a row's frames that one such stripe has at
            most, for short rows.

    Call arguments:
        inputs: float `(batch, frames, mel_bins)`.
        mask: bool `(batch, frames)`, in each row True up to its length and False behind.
        training: Whether to draw stripes; otherwise the inputs are returned.

    Returns:
        As `inputs`.

    Raises:
        ValueError: If a number is negative or the share is not in [0, 1].
    """

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_width: int = 27,
        time_masks: int = 2,
        time_width: int = 40,
        largest_time_share: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        numbers = (frequency_masks, frequency_width, time_masks, time_width)
        if min(numbers) < 0 or not 0 <= largest_time_share <= 1:
            raise ValueError(
                "frequency_masks, frequency_width, time_masks and time_width are "
                f"{', '.join(map(str, numbers))} and largest_time_share is {largest_time_share}; "
                "expected none below 0, and a share of at most 1."
            )
        self.frequency_masks = frequency_masks
        self.frequency_width = frequency_width
        self.time_masks = time_masks
        self.time_width = time_width
        self.largest_time_share = largest_time_share
        self.seed_generator = keras.random.SeedGenerator()
        self.supports_masking = True

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        if not training:
            return inputs
        batch, frames, mel_bins = tf.unstack(tf.shape(inputs))
        lengths = tf.fill([batch], frames)
        if mask is not None:
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        share = tf.cast(self.largest_time_share * tf.cast(lengths, tf.float32), tf.int32)
        time_widths = tf.minimum(self.time_width, share)
        bins = tf.fill([batch], mel_bins)
        frequency_widths = tf.minimum(self.frequency_width, bins)
        in_time = self._draw_stripes(self.time_masks, time_widths, lengths, frames)
        in_frequency = self._draw_stripes(self.frequency_masks, frequency_widths, bins, mel_bins)
        is_masked = in_time[:, :, tf.newaxis] | in_frequency[:, tf.newaxis, :]
        return tf.where(is_masked, tf.zeros((), inputs.dtype), inputs)

    def _draw_stripes(
        self, count: int, widths: tf.Tensor, lengths: tf.Tensor, size: tf.Tensor
    ) -> tf.Tensor:
        """Bool `(batch, size)`: what `count` stripes of up to `widths` cover of each row's length.

        `widths` and `lengths` are int32 `(batch,)`, no width above its length.
        """
        shape = (tf.size(lengths), count)
        widths = self._draw_integers(shape, tf.broadcast_to(widths[:, tf.newaxis], shape))
        starts = self._draw_integers(shape, lengths[:, tf.newaxis] - widths)
        places = tf.range(size)[:, tf.newaxis]
        starts, ends = starts[:, tf.newaxis], (starts + widths)[:, tf.newaxis]
        return tf.reduce_any((places >= starts) & (places < ends), axis=2)

    def _draw_integers(self, shape: tuple[tf.Tensor | int, ...], largest: tf.Tensor) -> tf.Tensor:
        """Int32 of `shape`, evenly from 0 to and with `largest`."""
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return tf.cast(uniform * tf.cast(largest + 1, tf.float32), tf.int32)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frequency_masks": self.frequency_masks,
            "frequency_width": self.frequency_width,
            "time_masks": self.time_masks,
            "time_width": self.time_width,
            "largest_time_share": self.largest_time_share,
        }
