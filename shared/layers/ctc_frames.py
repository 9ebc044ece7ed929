"""Frames of connectionist temporal classification (CTC), and how labels are laid out on them.

Graves et al., "Connectionist temporal classification", 2006: a network answers each frame with a
label or with blank; a text is read off by taking repetitions as one and leaving out the blanks.
Here labels are numbered from 0 and the blank is the last class. Frames behind a row's end answer
blank with certainty, so that whatever reads the logits needs no lengths beside them.
"""

import tensorflow as tf

NEVER = -1e9
"""The logit of a class that is out of the question, beside a logit of 0 that is certain."""


def mask_logits(logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Makes the frames behind each row's end answer blank with certainty.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, the blank last; any scaling comes before.
        frames: int32 `(batch,)`, the number of real frames of each row.

    Returns:
        Logits of the same shape.
    """
    is_real = tf.sequence_mask(frames, tf.shape(logits)[1])
    is_blank = tf.range(tf.shape(logits)[2]) == tf.shape(logits)[2] - 1
    return tf.where(is_real[..., None], logits, tf.where(is_blank, 0.0, NEVER))


def count_frames(logits: tf.Tensor) -> tf.Tensor:
    """Counts the real frames of each row.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, as `mask_logits` gives them.

    Returns:
        Int32 `(batch,)`.
    """
    return tf.reduce_sum(tf.cast(logits[..., 0] != NEVER, tf.int32), axis=1)


def required_frames(labels: tf.Tensor) -> tf.Tensor:
    """The fewest frames on which labels can be laid out.

    Each label needs a frame, and equal neighbours a blank between them. A recording with fewer
    frames teaches nothing.

    Args:
        labels: int `(batch, length)`, padded with -1 behind the end; a tensor or an array.

    Returns:
        Int32 `(batch,)`.
    """
    is_label = labels >= 0
    is_repeated = is_label[:, 1:] & (labels[:, 1:] == labels[:, :-1])
    needs = [tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) for mask in (is_label, is_repeated)]
    return tf.add_n(needs)
