"""Right-padded sequences without their padding, in the order in which a recurrence needs them."""

from typing import NamedTuple

import tensorflow as tf


class PackedSequences(NamedTuple):
    """Where the steps of each row go: the longest row comes first, and all rows' first steps.

    The rows that have a step `t` are then the first ones, and their steps follow each other.

    Attributes:
        ranks: int32 `(batch,)`. The place of each row among the sorted ones.
        order: int32 `(batch,)`. The row at each place.
        counts: int32 `(time,)`. How many rows have a step `t`, as far as the longest row goes.
        forward: int32 `(steps, 2)`. Row and time of each packed step.
        backward: int32 `(steps, 2)`. The same with each row read from its end to its start.
        last: int32 `(batch,)`. Where the state after each row's last step is found among the
            sorted initial states and the packed steps behind them.
    """

    ranks: tf.Tensor
    order: tf.Tensor
    counts: tf.Tensor
    forward: tf.Tensor
    backward: tf.Tensor
    last: tf.Tensor


def pack_sequences(lengths: tf.Tensor) -> PackedSequences:
    """Finds the packed order of rows with `lengths`, int32 `(batch,)`."""
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    ranks = tf.math.invert_permutation(order)
    # At least one step, which no row may have: eager TensorFlow cannot concatenate no steps.
    longest = tf.reduce_max(tf.concat([[1], lengths], axis=0))
    is_step = tf.range(longest)[:, None] < tf.gather(lengths, order)
    times, places = tf.unstack(tf.cast(tf.where(is_step), tf.int32), axis=1)
    rows = tf.gather(order, places)
    counts = tf.reduce_sum(tf.cast(is_step, tf.int32), axis=1)
    starts = tf.cumsum(tf.concat([tf.shape(lengths), counts], axis=0), exclusive=True)
    return PackedSequences(
        ranks=ranks,
        order=order,
        counts=counts,
        forward=tf.stack([rows, times], axis=1),
        backward=tf.stack([rows, tf.gather(lengths, rows) - 1 - times], axis=1),
        last=tf.gather(starts, lengths) + ranks,
    )
