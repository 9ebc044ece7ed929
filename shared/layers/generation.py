"""Texts made word by word from a recurrent language model, in graph."""

from typing import NamedTuple

import keras
import tensorflow as tf

from shared.layers.next_word import NextWord
from shared.layers.recurrent import LSTM
from shared.layers.sampling import sample

MAX_WORDS = 1024
_NEVER = -1e9


class Sampling(NamedTuple):
    """How each next word is drawn, one value per row; see `shared.layers.sampling.sample`.

    Attributes:
        max_tokens: int32 `(batch,)`. Words at most, up to `MAX_WORDS`.
        temperature: float32 `(batch,)`.
        top_k: int32 `(batch,)`.
        top_p: float32 `(batch,)`.
        seed: int32 `(batch,)`. The same seed gives the same words, whatever the other rows are.
    """

    max_tokens: tf.Tensor
    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor
    seed: tf.Tensor


class Words(NamedTuple):
    """What was generated.

    Attributes:
        words: int32 `(batch, at least 1)`, 0 behind the end.
        log_probabilities: float32 `(batch,)`. The sum over the words, by the plain softmax.
        counts: int32 `(batch,)`. How many words there are.
    """

    words: tf.Tensor
    log_probabilities: tf.Tensor
    counts: tf.Tensor


class Generator(NamedTuple):
    """The layers of a language model that reads forward.

    Attributes:
        embedding: From words to vectors.
        recurrent: An LSTM whose forward direction reads them; it must return its states.
        next_word: From the LSTM's outputs to words.
        end: int. The word that ends a text.
        forbidden: The words that are never generated, such as the unknown one.
    """

    embedding: keras.layers.Embedding
    recurrent: LSTM
    next_word: NextWord
    end: int
    forbidden: tuple[int, ...]

    def __call__(self, prompt: tf.Tensor, sampling: Sampling) -> Words:
        """Continues prompts.

        Args:
            prompt: int32 `(batch, time)`, words, padded with 0.
            sampling: How to draw.

        Returns:
            The words behind the prompts, without the one that ends a text.
        """
        batch = tf.shape(prompt)[0]
        limit = tf.clip_by_value(sampling.max_tokens, 0, MAX_WORDS)
        uniform = _uniform(sampling.seed)
        _, hidden, cell, *_ = self.recurrent(self.embedding(prompt), mask=prompt != 0)
        hidden, cell = tf.cast(hidden, tf.float32), tf.cast(cell, tf.float32)
        # One word at least, also where none is wanted, as an array of nothing cannot be stacked.
        longest = tf.reduce_max(tf.concat([[1], limit], axis=0))
        nothing = tf.zeros([longest, batch], tf.int32)
        first = (
            tf.constant(0),
            (hidden, cell),
            limit > 0,
            tf.zeros([batch]),
            tf.zeros([batch], tf.int32),
            tf.TensorArray(tf.int32, longest, element_shape=(None,)).unstack(nothing),
        )

        def body(
            t: tf.Tensor,
            states: tuple[tf.Tensor, tf.Tensor],
            going: tf.Tensor,
            total: tf.Tensor,
            counts: tf.Tensor,
            chosen: tf.TensorArray,
        ) -> tuple:
            logits = self._logits(states[0])
            draw = tf.gather(uniform, t, axis=1)
            words = sample(logits, sampling.temperature, sampling.top_k, sampling.top_p, draw)
            going &= words != self.end
            log_probabilities = tf.gather(tf.nn.log_softmax(logits), words, batch_dims=1)
            total += tf.where(going, log_probabilities, 0.0)
            counts += tf.cast(going, tf.int32)
            chosen = chosen.write(t, tf.where(going, words, 0))
            states = self.recurrent.step(self.embedding(words), states)
            return t + 1, states, going & (t + 1 < limit), total, counts, chosen

        steps, _, _, total, counts, chosen = tf.while_loop(
            lambda t, states, going, *_: tf.reduce_any(going), body, first
        )
        words = tf.transpose(chosen.stack()[: tf.maximum(steps, 1)])
        return Words(words, total, counts)

    def _logits(self, hidden: tf.Tensor) -> tf.Tensor:
        logits = self.next_word.logits(self.next_word(hidden))
        allowed = tf.one_hot(self.forbidden, tf.shape(logits)[1])
        return tf.where(tf.reduce_any(allowed > 0, axis=0), _NEVER, logits)


def _uniform(seeds: tf.Tensor) -> tf.Tensor:
    """Random numbers `(batch, MAX_WORDS)`; those of a row depend on its seed alone."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform((MAX_WORDS,), tf.stack([seed, 0])),
        seeds,
        fn_output_signature=tf.TensorSpec((MAX_WORDS,), tf.float32),
    )


def join_words(words: tf.Tensor) -> tf.Tensor:
    """Writes words as a text: spaces between them, but none before a comma or around a quote.

    A piece that continues a word, such as "##ing", is joined to it.

    Args:
        words: string `(batch, words)`, `""` behind the end.

    Returns:
        String `(batch,)`.
    """
    text = tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" "))
    for pattern, replacement in (
        (r" ##", ""),
        (r" ([.,;:!?%)\]}…])", r"\1"),
        (r"([(\[{]) ", r"\1"),
        (r" ?(['’/-]) ?", r"\1"),
    ):
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text
