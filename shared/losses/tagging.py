"""Losses of tag sequences."""

import keras

from shared.layers.conditional_random_field import ConditionalRandomField


class TaggingLikelihood(keras.losses.Loss):
    """Negative log-likelihood of tags under a conditional random field, in nats per sentence.

    Args:
        layer: The field; its weights are trained through this loss.

    Call arguments:
        y_true: int `(batch, time)`, tag indices, -1 where padded.
        y_pred: float `(batch, time, tags)`, emissions.
    """

    def __init__(self, layer: ConditionalRandomField) -> None:
        super().__init__(name="tagging_likelihood")
        self.layer = layer

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return self.layer.negative_log_likelihood(y_true, y_pred)
