"""The loss of a language model."""

import keras
import tensorflow as tf

from shared.layers.next_word import NextWord


class LanguageModelLoss(keras.losses.Loss):
    """Negative log-likelihood of the words that a language model predicts, in nats per word.

    It is an estimate from a few sampled words, see `NextWord.sampled_loss`.

    Args:
        layer: The softmax; its weights are trained through this loss.

    Call arguments:
        y_true: int `(batch, time)`, the numbers of the words to predict; -1 where there is none.
        y_pred: float `(batch, time, size)`, what the layer gave.

    Returns:
        Float32 `(batch,)`, whose mean is the mean over all words of the batch.
    """

    def __init__(self, layer: NextWord) -> None:
        super().__init__(name="language_model")
        self.layer = layer

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        words = tf.cast(y_true, tf.int32)
        places = tf.where(words > 0)
        losses = self.layer.sampled_loss(tf.gather_nd(y_pred, places), tf.gather_nd(words, places))
        rows = tf.math.unsorted_segment_sum(losses, places[:, 0], tf.shape(words)[0])
        words_per_row = tf.cast(tf.shape(places)[0] / tf.shape(words)[0], tf.float32)
        return tf.math.divide_no_nan(rows, words_per_row)
