"""Adversarial training: of networks that hold where small changes of their features mislead most.

As Miyato et al. do for texts, https://arxiv.org/abs/1605.07725, after Goodfellow et al., 2015.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

_LEAST_STEEPNESS = 1e-20


@keras.saving.register_keras_serializable("quartet")
class Perturbation(keras.Layer):
    """Where an `AdversarialModel` changes features while it trains; otherwise the identity.

    Args:
        size: Length of the change of a whole example, relative to the mean length of the vectors of
            its places, so that a network does not escape by longer ones.
    """

    def __init__(self, size: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.supports_masking = True
        self._visit: Callable[[tf.Tensor], tf.Tensor] | None = None

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return self._visit(features) if self._visit else features

    @contextmanager
    def changed(self, change: tf.Tensor | float) -> Iterator[list[tf.Tensor]]:
        """Adds `change` to the features meanwhile; gives a list that the sum is put into."""
        sums: list[tf.Tensor] = []

        def visit(features: tf.Tensor) -> tf.Tensor:
            sums.append(features + change)
            return sums[-1]

        self._visit = visit
        try:
            yield sums
        finally:
            self._visit = None

    def worst_change(self, features: tf.Tensor, slopes: tf.Tensor) -> tf.Tensor:
        """The change by which the loss of each example grows most, if it were linear.

        Args:
            features: float `(batch, places, size)`.
            slopes: Derivatives of the loss by them; 0 at places that are padding.

        Returns:
            float `(batch, places, size)`.
        """
        slopes = tf.cast(slopes, tf.float32)
        steepness = tf.norm(slopes, axis=(1, 2), keepdims=True)
        used = tf.cast(tf.reduce_any(slopes != 0, axis=-1), tf.float32)
        lengths = tf.norm(tf.cast(features, tf.float32), axis=-1) * used
        length = tf.math.divide_no_nan(tf.reduce_sum(lengths), tf.reduce_sum(used))
        change = self.size * length * slopes / tf.maximum(steepness, _LEAST_STEEPNESS)
        return tf.cast(change, features.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


class AdversarialModel(keras.Model):
    """A functional model that learns each batch twice: as it is, and changed for the worst.

    The features that its one `Perturbation` passes on are changed; dropout differs between the two.
    A step takes twice the time. Without such a layer, it is trained as any model.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        perturbation = next((one for one in self.layers if isinstance(one, Perturbation)), None)
        if perturbation is None:
            return super().train_step(data)
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)

        def differentiate(change: tf.Tensor | float) -> tuple[Any, list[tf.Tensor], tf.Tensor]:
            """Outputs and gradients for changed features, and the worst change of these."""
            with tf.GradientTape() as tape, perturbation.changed(change) as sums:
                outputs = self(inputs, training=True)
                loss = self.compute_loss(inputs, targets, outputs, weights, training=True)
                scaled = self.optimizer.scale_loss(loss)
            [features] = sums
            self._loss_tracker.update_state(loss, sample_weight=tf.shape(features)[0])
            slopes, *gradients = tape.gradient(scaled, [features, *self.trainable_weights])
            return outputs, gradients, perturbation.worst_change(features, slopes)

        outputs, gradients, change = differentiate(0.0)
        _, changed, _ = differentiate(change)
        mean = [tf.add_n(pair) / 2 for pair in zip(gradients, changed, strict=True)]
        self.optimizer.apply_gradients(zip(mean, self.trainable_weights, strict=True))
        return self.compute_metrics(inputs, targets, outputs, weights)
