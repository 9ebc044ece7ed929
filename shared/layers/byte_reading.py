"""Fields of binary files, read from string tensors with TensorFlow ops that never raise."""

import tensorflow as tf


def read_bytes(data: tf.Tensor, position: tf.Tensor | int, size: int) -> tf.Tensor:
    """Reads consecutive bytes, of one file or of each file of a batch.

    Args:
        data: string scalar, the whole file, or `(batch,)`, whole files.
        position: integer scalar or of the shape of `data`, not negative, in bytes from the
            beginning.
        size: number of bytes.

    Returns:
        Int64 `(size,)` or `(batch, size)`. Bytes past the end of the file are zero.
    """
    window = _cut(data, position, size)
    return tf.cast(tf.io.decode_raw(window, tf.uint8, fixed_length=size), tf.int64)


def read_words(data: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """Reads consecutive unsigned integers of 32 bits, the lowest byte first, of a batch of files.

    Args:
        data: string `(batch,)`, whole files.
        position: integer scalar or `(batch,)`, not negative, in bytes from the beginning.
        count: number of integers.

    Returns:
        Int64 `(batch, count)`. Bytes past the end of the file count as zero.
    """
    window = _cut(data, position, 4 * count)
    words = tf.io.decode_raw(window, tf.int32, fixed_length=4 * count)
    return tf.cast(tf.bitcast(words, tf.uint32), tf.int64)


def read_uint(
    data: tf.Tensor,
    position: tf.Tensor | int,
    size: int,
    little_endian: tf.Tensor | bool = True,
) -> tf.Tensor:
    """Reads an unsigned integer, of one file or of each file of a batch.

    Args:
        data: string scalar, the whole file, or `(batch,)`, whole files.
        position: integer scalar or of the shape of `data`, not negative, in bytes from the
            beginning.
        size: number of bytes, at most 7.
        little_endian: byte order, bool or bool scalar tensor.

    Returns:
        Int64 of the shape of `data`. Bytes past the end of the file count as zero.
    """
    octets = read_bytes(data, position, size)
    octets = tf.where(little_endian, octets, octets[..., ::-1])
    return tf.reduce_sum(octets * [256**power for power in range(size)], axis=-1)


def contains_at(data: tf.Tensor, position: tf.Tensor | int, expected: bytes) -> tf.Tensor:
    """Returns bool of the shape of `data`: whether `expected` stands at `position` in a file."""
    return tf.reduce_all(read_bytes(data, position, len(expected)) == list(expected), axis=-1)


def _cut(data: tf.Tensor, position: tf.Tensor | int, size: int) -> tf.Tensor:
    length = tf.cast(tf.strings.length(data), tf.int64)
    start = tf.minimum(tf.cast(position, tf.int64), length)
    return tf.strings.substr(data, start, tf.fill(tf.shape(start), tf.constant(size, tf.int64)))
