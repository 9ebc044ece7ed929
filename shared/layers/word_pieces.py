"""Words to the numbers of their pieces, without a table that a server would have to fill."""

from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from shared.layers.vocabulary import UNKNOWN

CONTINUATION = "##"
MAX_CHARACTERS = 32

# A symbol is a code point. That of a word's first character has this added: it is another symbol,
# so that what fits there does not fit inside of a word, and nothing reaches into the next word.
_FIRST = 0x110000
_NUM_SYMBOLS = 2**22
_UTF_8_BYTES = 4  # of one character, at most
_ANY_LENGTH = tf.TensorShape((None,))


@keras.saving.register_keras_serializable("quartet")
class WordPieces(keras.layers.Layer):
    """Cuts words into known pieces, from the left and each time the longest that fits.

    Rule and notation are WordPiece's (Wu et al., "Google's neural machine translation system",
    2016, https://arxiv.org/abs/1609.08144): "playing" is "play" and "##ing", "##" being the mark
    of a piece that continues a word. `shared.training.piece_learning` learns pieces from words.

    The graph holds a trie of the pieces in one sorted array and searches it: no resource, no file
    and nothing to initialise. It is walked from all characters of all words at once.

    Args:
        pieces: The known pieces. Those with "##" fit only behind another one, the others only at
            the beginning of a word.
        max_characters: int. Of a longer word only so many characters are read.

    Call arguments:
        words: string `(n,)`, UTF-8, normalised.

    Returns:
        int32 ragged `(n, pieces)`: the position of each piece in `pieces` plus 2; 0 is left for
        padding. A word is one single 1, unknown, if somewhere in it no piece fits, as where it has
        a character that no piece has. An empty word has no pieces.

    Raises:
        ValueError: If a piece occurs twice or has no character, or `max_characters` is below 1.
    """

    def __init__(
        self, pieces: Sequence[str], max_characters: int = MAX_CHARACTERS, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.pieces = tuple(pieces)
        self.max_characters = max_characters
        _check(self.pieces, max_characters)
        self.edges, self.numbers, self.lengths = _build_trie(self.pieces)

    @property
    def size(self) -> int:
        """Number of different answers: known pieces, unknown and padding."""
        return len(self.pieces) + 2

    def call(self, words: tf.Tensor) -> tf.RaggedTensor:
        characters = _read(words, self.max_characters)
        symbols = _symbols(characters)
        node_numbers = tf.constant(self.numbers)
        matches = _longest_matches(symbols, tf.constant(self.edges), node_numbers)
        starts = _find_pieces(symbols, tf.gather(self.lengths, matches))
        numbers = tf.gather(node_numbers, tf.gather(matches, starts))
        rows = tf.searchsorted(characters.row_splits, starts, side="right") - 1
        is_stuck = numbers == UNKNOWN
        is_unknown = _mask(tf.boolean_mask(rows, is_stuck), characters.nrows())
        # A word is stuck at one place if at any, and that place alone is kept of it.
        kept = _indices(is_stuck | ~tf.gather(is_unknown, rows))
        splits = tf.searchsorted(tf.gather(starts, kept), characters.row_splits, out_type=tf.int64)
        return tf.RaggedTensor.from_row_splits(tf.gather(numbers, kept), splits, validate=False)

    def get_config(self) -> dict[str, object]:
        sizes = {"max_characters": self.max_characters}
        return {**super().get_config(), "pieces": list(self.pieces), **sizes}


def _check(pieces: Sequence[str], max_characters: int) -> None:
    twice = sorted(piece for piece, count in Counter(pieces).items() if count > 1)
    if twice:
        raise ValueError(f"`pieces` has {twice[:5]} twice; expected every piece once.")
    empty = sorted({"", CONTINUATION} & set(pieces))
    if empty:
        raise ValueError(f"`pieces` has {empty}; expected a character in every piece.")
    if max_characters < 1:
        raise ValueError(f"`max_characters` is {max_characters}; expected at least 1.")


def _build_trie(pieces: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A trie whose nodes are numbered level by level, and in order of their symbols in a level.

    Returns:
        The edges, int64 `(nodes,)` and sorted, each the node above times `_NUM_SYMBOLS` plus its
        symbol: the edge at place `i` leads to node `i + 1`, and one that equals none is the last.
        The answer at each node, int32 `(nodes,)`: `UNKNOWN` at the root, 0 where no piece ends.
        The number of symbols above each node, int64 `(nodes,)`.
    """
    numbers = {_piece_symbols(piece): number for number, piece in enumerate(pieces, start=2)}
    prefixes = {piece[:length] for piece in numbers for length in range(1, len(piece) + 1)}
    ordered = sorted(prefixes, key=lambda prefix: (len(prefix), prefix))
    nodes = {prefix: node for node, prefix in enumerate([(), *ordered])}
    edges = [nodes[prefix[:-1]] * _NUM_SYMBOLS + prefix[-1] for prefix in ordered]
    return (
        np.array([*edges, np.iinfo(np.int64).max], np.int64),
        np.array([UNKNOWN, *(numbers.get(prefix, 0) for prefix in ordered)], np.int32),
        np.array([len(prefix) for prefix in nodes], np.int64),
    )


def _piece_symbols(piece: str) -> tuple[int, ...]:
    if piece.startswith(CONTINUATION):
        return tuple(map(ord, piece.removeprefix(CONTINUATION)))
    return ord(piece[0]) + _FIRST, *map(ord, piece[1:])


def _read(words: tf.Tensor, max_characters: int) -> tf.RaggedTensor:
    """Int32 code points, ragged `(n, characters)`, of the beginnings of words."""
    beginnings = tf.strings.substr(words, 0, _UTF_8_BYTES * max_characters)
    codes = tf.strings.unicode_decode(beginnings, "UTF-8", errors="replace")
    return codes[:, :max_characters]


def _symbols(characters: tf.RaggedTensor) -> tf.Tensor:
    """Int64 `(characters + 1,)`: of all words; the last is a beginning without a word."""
    codes = tf.pad(tf.cast(characters.flat_values, tf.int64), [[0, 1]])
    is_first = _mask(characters.row_splits, tf.size(codes))
    return tf.where(is_first, codes + _FIRST, codes)


def _longest_matches(symbols: tf.Tensor, edges: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Walks the trie from every symbol, all at once, as far as there are edges.

    Returns:
        Int64 `(characters + 1,)`: the node of the longest piece that begins at each symbol, or 0,
        the root, if none does.
    """

    def step(
        depth: tf.Tensor, starts: tf.Tensor, nodes: tf.Tensor, matches: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        wanted = nodes * _NUM_SYMBOLS + tf.gather(symbols, starts + depth)
        places = tf.searchsorted(edges, wanted, out_type=tf.int64)
        found = _indices(tf.gather(edges, places) == wanted)
        starts, nodes = tf.gather(starts, found), tf.gather(places, found) + 1
        ends = _indices(tf.gather(numbers, nodes) > 0)
        matches = tf.tensor_scatter_nd_update(
            matches, tf.gather(starts, ends)[:, tf.newaxis], tf.gather(nodes, ends)
        )
        return depth + 1, starts, nodes, matches

    roots = tf.zeros_like(symbols)
    *_, matches = tf.while_loop(
        lambda depth, starts, nodes, matches: tf.size(starts) > 0,
        step,
        (tf.constant(0, tf.int64), tf.range(tf.size(roots[:-1], tf.int64)), roots[:-1], roots),
        shape_invariants=(tf.TensorShape(()), _ANY_LENGTH, _ANY_LENGTH, _ANY_LENGTH),
    )
    return matches


def _find_pieces(symbols: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Goes through all words by the lengths of what begins at each symbol.

    Returns:
        Int64 `(pieces,)`, sorted: where it came by, and last in a word perhaps a length of 0.
    """
    is_first = symbols >= _FIRST

    def step(starts: tf.Tensor, is_start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        is_start |= _mask(starts, tf.size(symbols))
        following = starts + tf.gather(lengths, starts)
        goes_on = (following > starts) & ~tf.gather(is_first, following)
        return tf.boolean_mask(following, goes_on), is_start

    _, is_start = tf.while_loop(
        lambda starts, is_start: tf.size(starts) > 0,
        step,
        (_indices(is_first[:-1]), tf.zeros_like(is_first)),
        shape_invariants=(_ANY_LENGTH, _ANY_LENGTH),
    )
    return _indices(is_start)


def _mask(places: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Bool `(size,)`, true at the places."""
    return tf.tensor_scatter_nd_update(
        tf.zeros((size,), tf.bool), places[:, tf.newaxis], tf.ones_like(places, tf.bool)
    )


def _indices(mask: tf.Tensor) -> tf.Tensor:
    return tf.where(mask)[:, 0]
