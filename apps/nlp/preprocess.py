"""From text to the network's input, in graph: one code for training and for serving."""

from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from apps.nlp.config import Config
from apps.nlp.model import read_encoder
from shared.layers.ngrams import hash_ngrams
from shared.layers.ragged import keep_ends, to_dense
from shared.layers.tokenizer import normalize, tokenize
from shared.layers.vocabulary import UNKNOWN, Vocabulary
from shared.training.app import Survey

BOUNDARY = "<text>"
"""The word before and behind every text; no text has it, as its tokens are `<`, `text`, `>`."""
BOUNDARY_NUMBER = UNKNOWN + 1
NGRAM_TOKENS = 2048
HEAD_FRACTION = 0.25


@keras.saving.register_keras_serializable("quartet")
class TextPreprocess(keras.layers.Layer):
    """Cuts texts into tokens, numbers the words and hashes their n-grams.

    Args:
        words: The known words, normalised, by falling frequency.
        first: int. Tokens that are read at the beginning of a long text.
        last: int. Tokens that are read at its end.
        ngrams: int. Longest n-grams; 0 for none.
        ngram_bits: int. N-grams are numbered below `2 ** ngram_bits`.

    Call arguments:
        texts: string `(batch,)`, UTF-8.

    Returns:
        The network's inputs, padded with 0: `words` int32 `(batch, tokens)`, the numbers of the
        words between two of `BOUNDARY`, and, if there are any, `ngrams` int32 `(batch, n-grams)`;
        and the number of all tokens of each text, int32 `(batch,)`.
    """

    def __init__(
        self,
        words: Sequence[str],
        first: int,
        last: int,
        ngrams: int,
        ngram_bits: int,
        **kwargs: str,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary = Vocabulary((BOUNDARY, *words))
        self.first = first
        self.last = last
        self.ngrams = ngrams
        self.ngram_bits = ngram_bits

    def call(self, texts: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        words = normalize(tokenize(texts).words)
        features = {"words": to_dense(self._number(keep_ends(words, self.first, self.last)), 2)}
        if self.ngrams:
            read = keep_ends(words, NGRAM_TOKENS // 2, NGRAM_TOKENS // 2)
            # One column at least, as a text without words must not stop the network.
            features["ngrams"] = to_dense(hash_ngrams(read, self.ngrams, self.ngram_bits), 1)
        return features, tf.cast(words.row_lengths(), tf.int32)

    def _number(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        numbers = words.with_values(self.vocabulary(words.values))
        boundary = tf.fill([numbers.nrows(), 1], BOUNDARY_NUMBER)
        return tf.concat([boundary, numbers, boundary], axis=1)

    def get_config(self) -> dict[str, object]:
        names = ("first", "last", "ngrams", "ngram_bits")
        return {
            **super().get_config(),
            "words": list(self.vocabulary.words[1:]),
            **{name: getattr(self, name) for name in names},
        }


def build_preprocess(config: Config, survey: Survey) -> TextPreprocess:
    """The preprocess layer, with the words of the training texts or of the language model.

    Args:
        config: Size of the vocabulary, length of texts and n-grams.
        survey: Checked data.

    Raises:
        ConfigError: `config.pretrained` holds no language model.
    """
    is_classifier = config.task == "classification"
    first = round(config.text.max_tokens * (HEAD_FRACTION if is_classifier else 1))
    return TextPreprocess(
        words=read_encoder(config.pretrained).words
        if config.pretrained
        else _frequent_words(config, survey),
        first=first,
        last=config.text.max_tokens - first,
        ngrams=config.model.ngrams if is_classifier else 0,
        ngram_bits=config.model.ngram_bits,
    )


def _frequent_words(config: Config, survey: Survey) -> list[str]:
    counts: Counter[bytes] = Counter()
    for batch in survey.splits.train.read().batch(256):
        words, numbers = np.unique(
            normalize(tokenize(batch["input"]).words).flat_values.numpy(), return_counts=True
        )
        counts.update(dict(zip(words.tolist(), numbers.tolist(), strict=True)))
    # By frequency, and equally frequent words by name.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: config.text.vocabulary]
    return [word.decode() for word, count in ranked if count >= config.text.minimum_count]
