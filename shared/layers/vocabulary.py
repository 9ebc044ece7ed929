"""Words to numbers, without a table that a server would have to fill."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

UNKNOWN = 1  # 0 is left for padding.
# The largest number of buckets that `tf.strings.to_hash_bucket_fast` accepts.
_BUCKETS = 2**63 - 1


@keras.saving.register_keras_serializable("quartet")
class Vocabulary(keras.layers.Layer):
    """Looks words up.

    The graph holds the sorted 63-bit fingerprints of the words (FarmHash) and searches them: no
    resource, no file and nothing to initialise, unlike a lookup table. Two of a million words
    share a fingerprint with a chance of one in ten million.

    Args:
        words: The known words.

    Call arguments:
        words: string `(n,)`, or of any shape.

    Returns:
        int32 of the same shape: the word's position in `words` plus 2, or 1 if it is unknown; 0 is
        left for padding.

    Raises:
        ValueError: If a word occurs twice.
    """

    def __init__(self, words: Sequence[str], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.words = tuple(words)
        if len(set(self.words)) != len(self.words):
            twice = sorted({word for word in self.words if self.words.count(word) > 1})
            raise ValueError(f"`words` has {twice[:5]} twice; expected every word once.")
        fingerprints = _fingerprint(tf.constant(self.words, tf.string, (len(words),))).numpy()
        order = np.argsort(fingerprints)
        # One entry more than there are words, so that an empty vocabulary is no special case.
        self.fingerprints = np.append(fingerprints[order], np.iinfo(np.int64).max)
        self.numbers = np.append(order + 2, UNKNOWN).astype(np.int32)

    @property
    def size(self) -> int:
        """Number of different answers: known words, unknown and padding."""
        return len(self.words) + 2

    def call(self, words: tf.Tensor) -> tf.Tensor:
        fingerprints = _fingerprint(words)
        places = tf.searchsorted(self.fingerprints, tf.reshape(fingerprints, (-1,)))
        places = tf.reshape(places, tf.shape(fingerprints))
        found = tf.gather(self.fingerprints, places) == fingerprints
        return tf.where(found, tf.gather(self.numbers, places), UNKNOWN)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "words": list(self.words)}


def _fingerprint(words: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(words, _BUCKETS)
