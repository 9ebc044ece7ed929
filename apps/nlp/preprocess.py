"""From text to the network's input, in graph: one code for training and for serving."""

import math
from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from apps.nlp.config import Config, TextConfig
from apps.nlp.model import read_encoder
from shared.layers.ngrams import hash_ngrams
from shared.layers.ragged import keep_ends, to_dense
from shared.layers.tokenizer import normalize, tokenize
from shared.layers.vocabulary import UNKNOWN, Vocabulary
from shared.layers.word_pieces import CONTINUATION, WordPieces
from shared.training.app import Survey
from shared.training.piece_learning import learn_pieces

BOUNDARY = "<text>"
"""The word before and behind every text; no text has it, as its tokens are `<`, `text`, `>`."""
BOUNDARY_NUMBER = UNKNOWN + 1
NGRAM_TOKENS = 2048
HEAD_FRACTION = 0.25
NGRAM_ROOM = 4
"""Numbers per n-gram of the training texts, so that few share one."""


@keras.saving.register_keras_serializable("quartet.nlp")
class TextPreprocess(keras.layers.Layer):
    """Cuts texts into tokens, numbers the words and hashes their n-grams.

    Args:
        words: The known words, normalised, by falling frequency, and behind them the pieces that
            other words are cut into, those that continue a word with "##" in front.
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
        self.words = (BOUNDARY, *words)
        with_pieces = any(word.startswith(CONTINUATION) for word in words)
        self.vocabulary = (WordPieces if with_pieces else Vocabulary)(self.words)
        self.first = first
        self.last = last
        self.ngrams = ngrams
        self.ngram_bits = ngram_bits

    def call(self, texts: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        words = normalize(tokenize(texts).words)
        read = _enclose(keep_ends(words, self.first, self.last))
        numbers = read.with_values(self.vocabulary(read.values))
        if numbers.shape.rank > 2:
            numbers = numbers.merge_dims(1, 2)
        # A batch without texts has columns, too, as the network needs some.
        features = {"words": to_dense(numbers, 2)}
        if self.ngrams:
            read = keep_ends(words, NGRAM_TOKENS // 2, NGRAM_TOKENS // 2)
            numbers = hash_ngrams(_enclose(read), self.ngrams, self.ngram_bits)
            features["ngrams"] = to_dense(numbers, 1)
        return features, tf.cast(words.row_lengths(), tf.int32)

    def get_config(self) -> dict[str, object]:
        names = ("first", "last", "ngrams", "ngram_bits")
        return {
            **super().get_config(),
            "words": list(self.words[1:]),
            **{name: getattr(self, name) for name in names},
        }


def build_preprocess(config: Config, survey: Survey) -> TextPreprocess:
    """The preprocess layer, with the words of the language model, if any, and the training texts.

    Args:
        config: Size of the vocabulary, length of texts and n-grams.
        survey: Checked data.

    Raises:
        ConfigError: `config.pretrained` holds no language model.
    """
    is_classifier = config.task == "classification"
    first = round(config.text.max_tokens * (HEAD_FRACTION if is_classifier else 1))
    ngrams = config.model.ngrams if is_classifier else 0
    counts, bits = _count(survey, ngrams, config.model.ngram_bits)
    return TextPreprocess(
        words=_join_words(config, _choose_words(counts, config.text)),
        first=first,
        last=config.text.max_tokens - first,
        ngrams=ngrams,
        ngram_bits=bits,
    )


def _count(survey: Survey, ngrams: int, largest_bits: int) -> tuple[Counter[bytes], int]:
    """How often each word occurs in training, and how many bits tell the n-grams apart well."""
    counts: Counter[bytes] = Counter()
    seen = np.zeros(2**largest_bits, bool)
    for batch in survey.splits.train.read().batch(256):
        words = normalize(tokenize(batch["input"]).words)
        different, numbers = np.unique(words.flat_values.numpy(), return_counts=True)
        counts.update(dict(zip(different.tolist(), numbers.tolist(), strict=True)))
        if ngrams:
            seen[hash_ngrams(_enclose(words), ngrams, largest_bits).flat_values.numpy()] = True
    room = max(int(seen.sum()), 1) * NGRAM_ROOM
    return counts, min(largest_bits, math.ceil(math.log2(room)))


def _choose_words(counts: Counter[bytes], config: TextConfig) -> list[str]:
    """The frequent words, equally frequent ones by name, and pieces of the others."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [w.decode() for w, n in ranked[: config.vocabulary] if n >= config.minimum_count]
    if not config.pieces:
        return words
    rare = {word.decode(): count for word, count in ranked[len(words) :]}
    known = set(words)
    return words + [piece for piece in learn_pieces(rare, config.pieces) if piece not in known]


def _join_words(config: Config, chosen: Sequence[str]) -> list[str]:
    """The words of the pretrained language model, whose numbers stay, and the others behind them.

    A language model with pieces reads all words as it did.
    """
    words = read_encoder(config.pretrained).words if config.pretrained else ()
    if any(word.startswith(CONTINUATION) for word in words):
        return list(words)
    known = set(words)
    return [*words, *(word for word in chosen if word not in known)]


def _enclose(words: tf.RaggedTensor) -> tf.RaggedTensor:
    boundary = tf.fill([words.nrows(), 1], BOUNDARY)
    return tf.concat([boundary, words, boundary], axis=1)
