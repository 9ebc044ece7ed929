"""A sequence to one vector."""

import keras
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
        weights = ops.cast(ops.softmax(scores, axis=1), inputs.dtype)
        return ops.sum(weights * inputs, axis=1)

    def compute_mask(self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None) -> None:
        return None
