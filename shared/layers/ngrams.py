"""Sequences of neighbouring words as features: which occur, and what they speak for."""

from typing import Any

import keras
import tensorflow as tf

# An odd constant with well-mixed bits: the golden ratio times 2 ** 64, as a signed number.
_MULTIPLIER = -7046029254386353131


def hash_ngrams(words: tf.RaggedTensor, order: int, bits: int) -> tf.RaggedTensor:
    """Numbers the different n-grams of each text by hashing.

    Weinberger et al., "Feature hashing for large scale multitask learning", 2009,
    https://arxiv.org/abs/0902.2206.

    Args:
        words: string ragged `(batch, words)`.
        order: int. The longest n-grams; all shorter ones are taken, too.
        bits: int. Numbers are below `2 ** bits`; n-grams may share one.

    Returns:
        Int32 ragged `(batch, n-grams)`: from 1 to `2 ** bits - 1`, rising, each once per text.
    """
    fingerprints = tf.strings.to_hash_bucket_fast(words.flat_values, 2**63 - 1)
    rows = tf.cast(words.value_rowids(), tf.int64)
    total = tf.size(fingerprints)
    keys = []
    running = tf.zeros_like(fingerprints)
    for length in range(1, order + 1):
        # The n-gram that begins at each word, where the text is long enough.
        shift = length - 1
        running = running * _MULTIPLIER + tf.roll(fingerprints, -shift, axis=0)
        is_whole = (tf.roll(rows, -shift, axis=0) == rows) & (tf.range(total) < total - shift)
        mixed = tf.cast(running * _MULTIPLIER, tf.uint64)
        number = tf.cast(tf.bitwise.right_shift(mixed, tf.constant(64 - bits, tf.uint64)), tf.int64)
        number = tf.maximum(number, 1)  # 0 is left for padding.
        keys.append(tf.boolean_mask(rows * 2**bits + number, is_whole))
    merged = tf.sort(tf.concat(keys, axis=0))
    is_new = tf.concat([[True], merged[1:] != merged[:-1]], axis=0)[: tf.size(merged)]
    merged = tf.boolean_mask(merged, is_new)
    return tf.RaggedTensor.from_value_rowids(
        tf.cast(merged % 2**bits, tf.int32), merged // 2**bits, words.nrows(), validate=False
    )


@keras.saving.register_keras_serializable("quartet")
class BagOfNgrams(keras.layers.Layer):
    """A linear classifier of the n-grams in a text, whose order beyond themselves it ignores.

    The features are what Wang and Manning, "Baselines and bigrams", 2012,
    https://aclanthology.org/P12-2018, found hard to beat; the sum is divided by the root of their
    number, as if their vector had length 1.

    Args:
        bits: int. Numbers of n-grams are below `2 ** bits`.
        classes: int. Width of the output.
        gain: float. Factor of the sum: optimizers with steps of a fixed size, such as Adam, need a
            larger one than for dense features, as each n-gram is in few texts.

    Call arguments:
        ngrams: int32 `(batch, n-grams)`, as `hash_ngrams` numbers them, padded with 0.

    Returns:
        Logits `(batch, classes)`.
    """

    def __init__(self, bits: int, classes: int, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain
        self.bits = bits
        self.classes = classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.scores = self.add_weight(
            shape=(2**self.bits, self.classes), initializer="zeros", name="scores"
        )
        self.bias = self.add_weight(shape=(self.classes,), initializer="zeros", name="bias")

    def call(self, ngrams: tf.Tensor) -> tf.Tensor:
        present = tf.cast(ngrams != 0, self.compute_dtype)[:, :, None]
        total = tf.reduce_sum(tf.gather(self.scores, ngrams) * present, axis=1)
        count = tf.maximum(tf.reduce_sum(present, axis=1), 1)
        return self.gain * total / tf.sqrt(count) + self.bias

    def get_config(self) -> dict[str, Any]:
        names = ("bits", "classes", "gain")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
