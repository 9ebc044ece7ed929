"""Texts to tokens that know where they stand, with TensorFlow ops.

The same eagerly, in tf.data and in a signature of TensorFlow Serving. Positions count Unicode code
points, as Python's strings do. No bytes make these functions raise: text that is not UTF-8 is read
as `clean` gives it, which equals Python's `text.decode("utf-8", errors="replace")`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from shared.layers.unicode_classes import (
    DIGIT,
    INVISIBLE,
    JOINER,
    LETTER,
    MARK,
    REGIONAL,
    SPACE,
    SYMBOL,
    classify,
    fold,
)

_BATCH = 256  # texts at once in Python: enough to be quick, few enough for long ones
_TEXTS = tf.TensorSpec((None,), tf.string, name="texts")
_SPANS = tf.TensorSpec((None, None), tf.int32)


class Tokens(NamedTuple):
    """The tokens of a batch of texts.

    Attributes:
        words: string ragged `(batch, tokens)`, as written in the text, UTF-8.
        starts: int32 ragged `(batch, tokens)`, position in the text in code points.
        ends: int32 ragged `(batch, tokens)`, exclusive.
    """

    words: tf.RaggedTensor
    starts: tf.RaggedTensor
    ends: tf.RaggedTensor


@tf.function(input_signature=[_TEXTS], autograph=False)
def tokenize(texts: tf.Tensor) -> Tokens:
    """Cuts texts into words, numbers, marks and symbols.

    A token is a run of letters, or a run of digits ("5pm" is two tokens, "21.5" three), or one
    single character: a punctuation mark, a symbol, an emoji, an ideograph or a kana. White space
    separates tokens and belongs to none. Scripts that write no spaces but have neither ideographs
    nor kana, such as Thai, give one token per phrase.

    Combining marks, variation selectors and skin tones belong to the character before them; behind
    white space they are a token of their own. Symbols that zero-width joiners join are one token,
    and so are the two letters of a flag. Other control and zero-width characters separate nothing:
    inside a token they stay in its word, elsewhere they belong to no token.

    Args:
        texts: string `(batch,)`, UTF-8. Every invalid byte sequence is one "�", a symbol.

    Returns:
        The tokens in the order of the text. An empty text has none.
    """
    # Every row begins with a space, so that no row looks at the characters of the one before.
    codes = _decode(tf.strings.join([" ", texts]))
    starts, ends = _find_tokens(codes.flat_values)
    words = _encode(codes.flat_values, starts, ends)
    row_splits = tf.cast(codes.row_splits, tf.int32)
    splits = tf.searchsorted(starts, row_splits, out_type=tf.int64)
    offsets = tf.gather(row_splits, tf.searchsorted(row_splits, starts, side="right") - 1) + 1

    def ragged(values: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    return Tokens(ragged(words), ragged(starts - offsets), ragged(ends - offsets))


def normalize(words: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
    """Gives words the form in which they are looked up.

    Every character is folded as `shared.layers.unicode_classes.folded` says: no case, no full
    width, straight quotes, plain hyphens. Control and zero-width characters are dropped. Accents
    stay, and decomposed ones stay decomposed.

    Args:
        words: strings of any shape, dense or ragged, UTF-8.

    Returns:
        Strings of the same shape.
    """
    if isinstance(words, tf.RaggedTensor):
        return words.with_flat_values(normalize(words.flat_values))
    words = tf.convert_to_tensor(words, tf.string)
    return tf.reshape(_normalize(tf.reshape(words, (-1,))), tf.shape(words))


def character_ids(words: tf.Tensor, length: int, buckets: int) -> tf.Tensor:
    """Numbers the characters of words for an embedding.

    Of a word with more than `length` characters, the first and the last half of `length` are kept.

    Args:
        words: string `(n,)`, UTF-8.
        length: number of characters kept of a word.
        buckets: number of ids. Code points that are equal modulo `buckets` share one; with 128 or
            more, no two ASCII characters do.

    Returns:
        Int32 `(n, length)`: ids from 1 to `buckets`, padded with 0 behind the word.
    """
    if length < 1 or buckets < 1:
        raise ValueError(
            f"`length` is {length} and `buckets` is {buckets}; expected at least 1 of each."
        )
    words = tf.convert_to_tensor(words, tf.string)
    return tf.ensure_shape(_character_ids(words, length, buckets), (None, length))


@tf.function(input_signature=[_TEXTS], autograph=False)
def is_valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Returns bool `(batch,)`: whether each of the strings `(batch,)` is valid UTF-8."""
    return texts == clean(texts)


@tf.function(input_signature=[_TEXTS], autograph=False)
def clean(texts: tf.Tensor) -> tf.Tensor:
    """Returns the strings `(batch,)` with "�" (U+FFFD) for every invalid byte sequence."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def slice_text(texts: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Cuts spans out of texts.

    Args:
        texts: string `(batch,)`, UTF-8.
        starts: int32 `(batch,)` or `(batch, spans)`, in code points of `clean(texts)`.
        ends: int32 of the shape of `starts`, exclusive.

    Returns:
        Strings of the shape of `starts`. What lies outside of the text is left out; a span that
        does not end behind its start, such as padding, is `""`.
    """
    starts, ends = tf.convert_to_tensor(starts, tf.int32), tf.convert_to_tensor(ends, tf.int32)
    if starts.shape.rank == 1:
        return _slice_text(texts, starts[:, tf.newaxis], ends[:, tf.newaxis])[:, 0]
    return _slice_text(texts, starts, ends)


def token_boundaries(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Returns start and end of every token of every text, as `tokenize` finds them."""
    boundaries = []
    for first in range(0, len(texts), _BATCH):
        # A lone surrogate has no UTF-8; as one "?" it moves nothing behind it.
        batch = [text.encode("utf-8", errors="replace") for text in texts[first : first + _BATCH]]
        _, starts, ends = tokenize(tf.constant(batch, tf.string))
        flat = (positions.flat_values.numpy().tolist() for positions in (starts, ends))
        spans = list(zip(*flat, strict=True))
        splits = starts.row_splits.numpy().tolist()
        boundaries += [spans[splits[row] : splits[row + 1]] for row in range(len(batch))]
    return boundaries


def _find_tokens(codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Starts and ends, int32 `(tokens,)`, of the tokens in code points that begin with a space."""
    classes = classify(codes)
    visible = _indices((classes != INVISIBLE) & (classes != JOINER))
    is_joined = tf.gather(_previous(classes) == JOINER, visible)
    classes = tf.gather(classes, visible)
    # Bases carry the marks behind them. A mark behind a space has to be its own base.
    is_base = (classes != MARK) | (_previous(classes) == SPACE)
    bases = _indices(is_base)
    classes = tf.gather(classes, bases)
    continues = _continues_token(classes, tf.gather(is_joined, bases))
    is_space = classes == SPACE
    is_start = ~is_space & ~continues
    is_end = ~is_space & tf.roll(is_space | is_start, -1, axis=0)
    next_bases = tf.concat((bases[1:], tf.shape(visible, out_type=tf.int64)), axis=0)
    starts = tf.gather(visible, tf.gather(bases, _indices(is_start)))
    ends = tf.gather(visible, tf.gather(next_bases, _indices(is_end)) - 1) + 1
    return tf.cast(starts, tf.int32), tf.cast(ends, tf.int32)


def _previous(classes: tf.Tensor) -> tf.Tensor:
    """The class before each; that before the first equals none."""
    return tf.pad(classes, [[1, 0]], constant_values=-1)[:-1]


def _continues_token(classes: tf.Tensor, is_joined: tf.Tensor) -> tf.Tensor:
    """Whether each base character belongs to the token of the one before it."""
    is_alike = classes == _previous(classes)
    is_run = (classes == LETTER) | (classes == DIGIT)
    is_symbol = (classes == SYMBOL) & is_joined
    is_flag = (classes == REGIONAL) & (_positions_in_runs(is_alike) % 2 == 1)
    return is_alike & (is_run | is_symbol | is_flag)


def _positions_in_runs(is_alike: tf.Tensor) -> tf.Tensor:
    """Counts from 0 in every run of elements that are like the one before."""
    runs = tf.cumsum(tf.cast(~is_alike, tf.int32)) - 1
    run_starts = _indices(~is_alike)
    return tf.range(tf.size(is_alike, out_type=tf.int64)) - tf.gather(run_starts, runs)


def _indices(mask: tf.Tensor) -> tf.Tensor:
    return tf.where(mask)[:, 0]


def _decode(texts: tf.Tensor) -> tf.RaggedTensor:
    """Int32 code points of `clean(texts)`, ragged `(batch, characters)`."""
    return tf.strings.unicode_decode(texts, "UTF-8", errors="replace")


def _encode(codes: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Strings `(n,)` of the code points between starts and ends `(n,)`.

    Unlike `tf.strings.substr`, it does not read a text from its beginning for every span.
    """
    spans = tf.ragged.range(starts, ends)
    return tf.strings.unicode_encode(tf.gather(codes, spans), "UTF-8")


@tf.function(input_signature=[_TEXTS], autograph=False)
def _normalize(words: tf.Tensor) -> tf.Tensor:
    codes = _decode(words)
    forms = fold(codes.flat_values)
    kept = _indices(forms >= 0)
    splits = tf.searchsorted(kept, codes.row_splits, out_type=tf.int64)
    forms = tf.RaggedTensor.from_row_splits(tf.gather(forms, kept), splits, validate=False)
    return tf.strings.unicode_encode(forms, "UTF-8")


@tf.function(input_signature=[_TEXTS, _SPANS, _SPANS], autograph=False)
def _slice_text(texts: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    codes = _decode(texts)
    lengths = tf.cast(codes.row_lengths(), tf.int32)[:, tf.newaxis]
    row_starts = tf.cast(codes.row_starts(), tf.int32)[:, tf.newaxis]
    starts = tf.clip_by_value(starts, 0, lengths)
    ends = tf.clip_by_value(ends, starts, lengths)
    flat = (tf.reshape(row_starts + positions, (-1,)) for positions in (starts, ends))
    return tf.reshape(_encode(codes.flat_values, *flat), tf.shape(starts))


@tf.function(autograph=False, reduce_retracing=True)
def _character_ids(words: tf.Tensor, length: int, buckets: int) -> tf.Tensor:
    codes = _decode(words)
    lengths = tf.cast(codes.row_lengths(), tf.int32)[:, tf.newaxis]
    starts = tf.cast(codes.row_starts(), tf.int32)[:, tf.newaxis]
    positions = tf.range(length)
    is_tail = (lengths > length) & (positions >= length - length // 2)
    sources = starts + positions + tf.where(is_tail, lengths - length, 0)
    # One more character, for the empty words at the end to point at.
    padded = tf.concat((codes.flat_values, [0]), axis=0)
    ids = 1 + tf.gather(padded, tf.minimum(sources, tf.size(padded) - 1)) % buckets
    return tf.where(positions < lengths, ids, 0)
