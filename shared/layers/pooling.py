"""A sequence to one vector."""

import keras
import tensorflow as tf
from keras import ops

_MASKED = -1e9


@keras.saving.register_keras_serializable("quartet")
class AttentionPooling(keras.layers.Layer):
    """The mean of a sequence, weighted by what a linear layer finds important.

    Yang et al., "Hierarchical attention networks for document classification", 2016,
    https://aclanthology.org/N16-1174, with one attention vector and no hidden layer.

    Call arguments:
        inputs: float `(batch, time, features)`.
        mask: bool `(batch, time)`; steps where it is false have no weight. A row without any step
            has the plain mean.

    Returns:
        `(batch, features)`.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 1), name="kernel")

    def call(
        self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        scores = ops.cast(ops.matmul(inputs, self.kernel), "float32")
        if mask is not None:
            scores = ops.where(ops.expand_dims(mask, -1), scores, _MASKED)
        # Not Keras' softmax, which warns of a sequence of one step.
        weights = ops.cast(tf.nn.softmax(scores, axis=1), inputs.dtype)
        return ops.sum(weights * inputs, axis=1)

    def compute_mask(self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None) -> None:
        return None


@keras.saving.register_keras_serializable("quartet")
class MaskedMaxPooling(keras.layers.Layer):
    """The largest value of each feature over the steps of a sequence.

    Call arguments:
        inputs: float `(batch, time, features)`.
        mask: bool `(batch, time)`; steps where it is false do not count. A row without any step
            has zeros.

    Returns:
        `(batch, features)`.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(
        self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        if mask is None:
            return ops.max(inputs, axis=1)
        exists = ops.expand_dims(mask, -1)
        largest = ops.max(ops.where(exists, inputs, ops.cast(_MASKED, inputs.dtype)), axis=1)
        return ops.where(ops.any(exists, axis=1), largest, ops.zeros_like(largest))

    def compute_mask(self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None) -> None:
        return None
