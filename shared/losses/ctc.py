"""The loss of connectionist temporal classification."""

import keras
import tensorflow as tf

from shared.layers.ctc_frames import count_frames, required_frames


@keras.saving.register_keras_serializable("quartet")
class CTCLoss(keras.losses.Loss):
    """Negative log-likelihood of labels, summed over all their alignments; in nats per row.

    Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
    recurrent neural networks", 2006. Keras' `CTC` takes the blank as the first class, every frame
    as real, and more than ten times as long on a CPU.

    A row without labels is that of blanks alone. A row with fewer frames than
    `required_frames(labels)` has no alignment: its loss is 0 and it moves no weights.

    Args:
        name: str. The loss's name.

    Call arguments:
        y_true: int `(batch, length)`, labels, padded with -1 behind the end.
        y_pred: float32 `(batch, frames, classes + 1)`, logits as `mask_logits` gives them: the
            blank is the last class, and frames behind a row's end answer it with certainty.

    Returns:
        Float32 `(batch,)` from `call`; by default, their mean from the loss. They are not divided
        by numbers of labels or frames.
    """

    def __init__(self, name: str = "ctc", **kwargs: str) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        labels, logits = tf.cast(y_true, tf.int32), tf.cast(y_pred, tf.float32)
        frames = count_frames(logits)
        is_empty = tf.reduce_all(labels < 0, axis=1)
        has_alignment = (required_frames(labels) <= frames) & ~is_empty
        losses = _likelihood_loss(labels, logits, tf.where(has_alignment, frames, 0))
        blanks = tf.reduce_sum(tf.nn.log_softmax(logits)[..., -1], axis=1)
        return tf.where(is_empty, -blanks, losses)


def _likelihood_loss(labels: tf.Tensor, logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """The losses `(batch,)`, 0 for rows without frames."""
    # The kernel passes over rows without frames, but refuses those without labels.
    is_empty = tf.reduce_all(labels < 0, axis=1, keepdims=True)
    labels = tf.concat([tf.where(is_empty, 0, -1), labels], axis=1)
    places = tf.where(labels >= 0)
    # `tf.nn.ctc_loss` of dense labels is a loop of small operations; this is one.
    losses, _ = tf.raw_ops.CTCLoss(
        inputs=tf.transpose(logits, (1, 0, 2)),
        labels_indices=places,
        labels_values=tf.gather_nd(labels, places),
        sequence_length=frames,
        ignore_longer_outputs_than_inputs=True,
    )
    return losses
