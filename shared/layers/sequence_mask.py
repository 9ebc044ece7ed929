"""Which steps of padded rows are their own."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("quartet")
class SequenceMask(keras.layers.Layer):
    """Tells the steps of rows from the padding behind them.

    Call arguments:
        inputs: `(batch, time, …)`, padded on the right.
        lengths: int `(batch,)`. How many steps are a row's own.

    Returns:
        Bool `(batch, time)`.
    """

    def call(self, inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.sequence_mask(lengths, tf.shape(inputs)[1])

    def compute_output_spec(self, inputs: Any, lengths: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape[:2], dtype="bool")
