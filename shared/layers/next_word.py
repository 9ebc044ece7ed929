"""The softmax over a large vocabulary that predicts a word from what is around it."""

import math
from typing import Any

import keras
import tensorflow as tf

_CHUNK = 128  # positions whose logits are in memory at once; few, so that memory is used again


@keras.saving.register_keras_serializable("quartet")
class NextWord(keras.layers.Layer):
    """Log-probabilities of words, whose output vectors are the embedding's.

    Press and Wolf, "Using the output embedding to improve language models", 2017,
    https://aclanthology.org/E17-2025. Trained by importance sampling: each batch is compared with a
    few words drawn by rank (Jean et al., https://aclanthology.org/P15-1001), which needs words to
    be numbered by falling frequency.

    Args:
        embedding: The layer whose vectors `(words, size)` are shared. Word 0 is padding.
        samples: int. Words that each batch is compared with in training.

    Call arguments:
        states: float `(batch, time, units)`.

    Returns:
        What the words' vectors are compared with, `(batch, time, size)`.
    """

    def __init__(self, embedding: keras.layers.Embedding, samples: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = embedding
        self.samples = samples
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.projection = keras.layers.Dense(
            self.embedding.output_dim, dtype=self.dtype_policy, name="projection"
        )
        self.projection.build(input_shape)
        self.bias = self.add_weight(
            shape=(self.embedding.input_dim,), initializer="zeros", name="bias"
        )

    def call(self, states: tf.Tensor) -> tf.Tensor:
        return self.projection(states)

    def logits(self, vectors: tf.Tensor) -> tf.Tensor:
        """Logits `(n, words)` of all words for what `call` gave, `(n, size)`; padding has none."""
        weights = tf.convert_to_tensor(self.embedding.embeddings)
        logits = tf.matmul(vectors, weights, transpose_b=True) + self.bias
        return tf.concat([tf.fill([tf.shape(logits)[0], 1], -1e9), logits[:, 1:]], axis=1)

    def log_likelihoods(self, vectors: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """Log-probability of each word, by the softmax over all of them.

        Args:
            vectors: float32 `(n, size)`, what `call` gave.
            words: int32 `(n,)`.

        Returns:
            Float32 `(n,)`, in nats.
        """
        length = tf.shape(words)[0]
        missing = -length % _CHUNK
        chunks = (
            tf.reshape(tf.pad(vectors, [[0, missing], [0, 0]]), (-1, _CHUNK, vectors.shape[1])),
            tf.reshape(tf.pad(words, [[0, missing]]), (-1, _CHUNK)),
        )
        values = tf.map_fn(
            lambda chunk: (
                -tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=chunk[1], logits=self.logits(chunk[0])
                )
            ),
            chunks,
            fn_output_signature=tf.TensorSpec((_CHUNK,), tf.float32),
        )
        return tf.reshape(values, (-1,))[:length]

    def sampled_loss(self, vectors: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """An estimate of the negative log-likelihood of each word, cheap for large vocabularies.

        Each drawn word counts once, and the logit of each word is lowered by the logarithm of its
        chance to be drawn, so that the softmax over the true word and the drawn ones has the same
        optimum as that over all.

        Args:
            vectors: float32 `(n, size)`, what `call` gave.
            words: int32 `(n,)`, none of which is 0.

        Returns:
            Float32 `(n,)`, in nats.
        """
        # Once each, as the true word is there once, however often it would be drawn.
        drawn, _ = tf.unique(self._draw())
        table = tf.convert_to_tensor(self.embedding.embeddings)
        true_logits = tf.reduce_sum(vectors * tf.gather(table, words), axis=1)
        true_logits += tf.gather(self.bias, words) - self._log_inclusion(words)
        logits = tf.matmul(vectors, tf.gather(table, drawn), transpose_b=True)
        logits += tf.gather(self.bias, drawn) - self._log_inclusion(drawn)
        # A true word that was drawn must not count against itself.
        logits = tf.where(words[:, None] == drawn[None], -1e9, logits)
        together = tf.concat([true_logits[:, None], logits], axis=1)
        return tf.reduce_logsumexp(together, axis=1) - true_logits

    def _draw(self) -> tf.Tensor:
        """Words from 1 on, by Zipf's law: rank r has the chance log((r + 2) / (r + 1)) / log n."""
        uniform = keras.random.uniform((self.samples,), seed=self.seed_generator)
        ranks = tf.exp(uniform * math.log(self.embedding.input_dim)) - 1
        return 1 + tf.minimum(tf.cast(ranks, tf.int32), self.embedding.input_dim - 2)

    def _log_inclusion(self, words: tf.Tensor) -> tf.Tensor:
        """Logarithm of the chance that a word is drawn at all."""
        rank = tf.cast(words - 1, tf.float32)
        chance = tf.math.log1p(1 / (rank + 1)) / math.log(self.embedding.input_dim)
        return tf.math.log(-tf.math.expm1(self.samples * tf.math.log1p(-chance)))
