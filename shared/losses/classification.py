"""Losses between logits and the probabilities of classes."""

import keras
from keras import ops

from shared.training.config import LossConfig


@keras.saving.register_keras_serializable("quartet")
class SoftmaxMeanSquaredError(keras.losses.Loss):
    """Mean squared error between labels and the softmax of logits (the Brier score).

    Keras' `MeanSquaredError` takes predictions as they are; a model here ends in logits.
    Brier, "Verification of forecasts expressed in terms of probability", 1950.

    Args:
        label_smoothing: float. Share of the label's probability spread over all classes.
        name: str. The loss's name.
    """

    def __init__(
        self, label_smoothing: float = 0.0, name: str = "mean_squared_error", **kwargs: str
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        classes = ops.shape(y_pred)[-1]
        target = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        return ops.mean(ops.square(ops.softmax(y_pred) - target), axis=-1)

    def get_config(self) -> dict[str, float]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def build_classification_loss(config: LossConfig) -> keras.losses.Loss:
    """The loss of a classifier.

    Args:
        config: Name and label smoothing.

    Returns:
        A loss of `y_true`, probabilities `(batch, classes)` float32, and `y_pred`, logits of the
        same shape.
    """
    if config.name == "mean_squared_error":
        return SoftmaxMeanSquaredError(label_smoothing=config.label_smoothing)
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
