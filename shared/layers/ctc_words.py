"""Words made of decoded characters."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from shared.layers.ctc_decoding import Decoded, shift_right

_SPACE = " "


class Words(NamedTuple):
    """Words and the frames that they are on.

    Attributes:
        words: string `(batch, words)`, padded with `""` behind the end.
        starts: int32 `(batch, words)`, the first frame of each word, padded with -1.
        ends: int32 `(batch, words)`, the frame behind its last one, padded with -1.
        scores: float32 `(batch, words)`, the geometric mean of the characters' scores, padded
            with 0.
        transcripts: string `(batch,)`, the words with one space between them.
    """

    words: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    scores: tf.Tensor
    transcripts: tf.Tensor


def join_words(decoded: Decoded, alphabet: Sequence[str]) -> Words:
    """Joins the characters between spaces to words.

    Args:
        decoded: Labels of characters.
        alphabet: The character of each label. The space is the only white space among them; without
            it, a row is one word.

    Returns:
        The words; their number is that of the row with the most and may be 0.
    """
    # The remainder of -1 is the last one.
    characters = tf.gather(tf.constant([*alphabet, ""]), decoded.labels % (len(alphabet) + 1))
    is_letter = (characters != "") & (characters != _SPACE)
    begins = is_letter & ~shift_right(is_letter, False)
    ends = is_letter & ~tf.reverse(shift_right(tf.reverse(is_letter, [1]), False), [1])
    words = tf.strings.split(tf.strings.reduce_join(characters, axis=1)).to_tensor("")
    batch, length = tf.unstack(tf.shape(words))
    numbers = tf.cumsum(tf.cast(begins, tf.int32), axis=1) - 1
    places = tf.where(is_letter, tf.range(batch)[:, None] * length + numbers, -1)

    def gather(values: tf.Tensor) -> tf.Tensor:
        """Sums over the characters of each word."""
        sums = tf.math.unsorted_segment_sum(values, places, batch * length)
        return tf.reshape(sums, [batch, length])

    is_word = words != ""
    letters = tf.maximum(gather(tf.ones_like(places)), 1)
    mean = tf.exp(gather(tf.math.log(decoded.scores)) / tf.cast(letters, tf.float32))
    return Words(
        words=words,
        starts=tf.where(is_word, gather(tf.where(begins, decoded.starts, 0)), -1),
        ends=tf.where(is_word, gather(tf.where(ends, decoded.ends, 0)), -1),
        scores=tf.where(is_word, mean, 0.0),
        transcripts=tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=_SPACE)),
    )
