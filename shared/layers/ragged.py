"""Rows of different lengths, side by side."""

from typing import Any

import tensorflow as tf


def to_dense(rows: tf.RaggedTensor, width: tf.Tensor | int, padding: Any = None) -> tf.Tensor:
    """Pads rows to one width that is known only when the graph runs.

    Args:
        rows: ragged `(batch, length, …)`.
        width: int scalar. Width of the result, if no row is longer.
        padding: What fills up short rows; by default 0, `""` or False.

    Returns:
        Dense `(batch, max(width, longest), …)`.
    """
    dense = rows.to_tensor(padding)
    missing = tf.maximum(tf.cast(width, tf.int32) - tf.shape(dense)[1], 0)
    shape = tf.tensor_scatter_nd_update(tf.shape(dense), [[1]], [missing])
    fill = tf.zeros((), dense.dtype) if padding is None else tf.constant(padding, dense.dtype)
    return tf.concat([dense, tf.fill(shape, fill)], axis=1)


def keep_ends(rows: tf.RaggedTensor, first: int, last: int) -> tf.RaggedTensor:
    """Leaves out the middle of rows that are longer than `first + last`.

    Args:
        rows: ragged `(batch, length, …)`.
        first: int. Elements kept at the beginning of a long row.
        last: int. Elements kept at its end.

    Returns:
        Ragged, of the same type.
    """
    lengths = rows.row_lengths()
    places = tf.ragged.range(lengths).flat_values
    from_end = tf.gather(lengths, rows.value_rowids()) - places
    return tf.ragged.boolean_mask(rows, rows.with_values((places < first) | (from_end <= last)))
