"""Labels read off the logits of connectionist temporal classification, with their frames."""

from typing import NamedTuple

import tensorflow as tf


class Decoded(NamedTuple):
    """Labels and the frames that they are on.

    Attributes:
        labels: int32 `(batch, length)`, padded with -1 behind the end.
        starts: int32 `(batch, length)`, the first frame of each label, padded with -1.
        ends: int32 `(batch, length)`, the frame behind its last one, padded with -1.
        scores: float32 `(batch, length)`, the mean probability of each label on its frames, padded
            with 0.
        log_probability: float32 `(batch,)`, in nats, of the path: of what each frame was taken for.
    """

    labels: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    scores: tf.Tensor
    log_probability: tf.Tensor


def greedy_decode(logits: tf.Tensor) -> Decoded:
    """Takes each frame for its likeliest class.

    Graves et al., "Connectionist temporal classification", 2006, section 3.2: best path decoding.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, as `mask_logits` gives them.

    Returns:
        The labels; `length` is that of the longest row, which may be 0.
    """
    return read_path(logits, *likeliest_path(logits))


def likeliest_path(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest class of each frame and whether a label begins on it, as for `read_path`."""
    blank = tf.shape(logits)[2] - 1
    path = tf.argmax(logits, axis=2, output_type=tf.int32)
    return path, (path != blank) & (path != shift_right(path, blank))


def read_path(logits: tf.Tensor, path: tf.Tensor, begins: tf.Tensor) -> Decoded:
    """Gathers the labels of a path.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, as `mask_logits` gives them.
        path: int32 `(batch, frames)`, the class that each frame is taken for.
        begins: bool `(batch, frames)`, whether a label begins on a frame. It goes on until a blank
            or the next one.

    Returns:
        The labels; `length` is that of the longest row, which may be 0.
    """
    log_probabilities = tf.gather(tf.nn.log_softmax(logits), path, batch_dims=2)
    counted = tf.cumsum(tf.cast(begins, tf.int32), axis=1)
    lengths = tf.reduce_sum(tf.cast(begins, tf.int32), axis=1)
    batch, length = tf.shape(path)[0], tf.reduce_max(tf.concat([[0], lengths], axis=0))
    is_blank = path == tf.shape(logits)[2] - 1
    places = tf.where(is_blank, -1, tf.range(batch)[:, None] * length + counted - 1)

    def gather(values: tf.Tensor) -> tf.Tensor:
        """Sums over the frames of each label."""
        sums = tf.math.unsorted_segment_sum(values, places, batch * length)
        return tf.reshape(sums, [batch, length])

    def pad(values: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.sequence_mask(lengths, length), values, -1)

    frames = gather(tf.ones_like(path))
    starts = gather(tf.where(begins, tf.range(tf.shape(path)[1]), 0))
    return Decoded(
        labels=pad(gather(tf.where(begins, path, 0))),
        starts=pad(starts),
        ends=pad(starts + frames),
        scores=gather(tf.exp(log_probabilities)) / tf.cast(tf.maximum(frames, 1), tf.float32),
        log_probability=tf.reduce_sum(log_probabilities, axis=1),
    )


def shift_right(values: tf.Tensor, first: tf.Tensor | int) -> tf.Tensor:
    """Moves values `(batch, frames)` by one frame, `first` coming in."""
    return tf.concat([tf.fill([tf.shape(values)[0], 1], first), values], axis=1)[:, :-1]
