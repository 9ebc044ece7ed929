"""A language model of characters, learned from the transcripts of the training recordings."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from shared.layers.character_language_model import CharacterLanguageModel

_CELL_BYTES = 8  # of a transition and a probability


class _Contexts(NamedTuple):
    """The contexts of one length; each is a state of the model.

    Attributes:
        states: int `(positions,)`, that of the characters before each position, -1 for none.
        suffixes: int `(contexts,)`, the state of a context without its oldest character.
        prefixes: int `(contexts,)`, the state of a context without its newest character.
        newest: int `(contexts,)`, that character.
        counts: int `(contexts,)`, how often it occurs.
    """

    states: np.ndarray
    suffixes: np.ndarray
    prefixes: np.ndarray
    newest: np.ndarray
    counts: np.ndarray


def learn_character_ngrams(
    texts: Sequence[str], alphabet: Sequence[str], order: int = 6, max_bytes: int = 8_000_000
) -> CharacterLanguageModel:
    """Learns an interpolated n-gram model with the smoothing of Witten and Bell.

    Witten and Bell, "The zero-frequency problem", 1991, in the recursive form of Chen and Goodman,
    "An empirical study of smoothing techniques for language modeling", 1999: the more different
    characters were seen behind a context, the more is left to what the context without its oldest
    character says. The empty context leaves it to all characters alike. A text begins behind a
    boundary, which may be part of a context, and ends in one.

    Args:
        texts: Texts made of the alphabet's characters.
        alphabet: Different characters, in the order of a network's labels.
        order: int. Characters are predicted from the `order - 1` before them.
        max_bytes: int. What the tables take at most. Of too many contexts the rarest are left out.

    Returns:
        The model; it has a state for each context.

    Raises:
        ValueError: If there are no texts, one has a character outside the alphabet, or `order` is
            less than 1.
    """
    if not texts or order < 1:
        raise ValueError(
            f"There are {len(texts)} texts and `order` is {order}; expected at least 1 of each."
        )
    stream, symbols = _encode(texts, alphabet), len(alphabet) + 1
    most = max(1, max_bytes // (symbols * _CELL_BYTES)) - 1
    min_count = _choose_min_count(stream, symbols, order, most)
    levels = list(_find_contexts(stream, symbols, order, min_count))
    start = levels[0].states[1] if levels else 0
    return CharacterLanguageModel(
        transitions=_transitions(levels, symbols),
        log_probabilities=np.log(_probabilities(levels, stream, symbols)).astype(np.float32),
        start=int(max(start, 0)),
    )


def _encode(texts: Sequence[str], alphabet: Sequence[str]) -> np.ndarray:
    """The numbers of all characters, one text after another, with boundaries around each."""
    numbers = {character: number for number, character in enumerate(alphabet)}
    if unknown := sorted(set().union(*texts) - numbers.keys()):
        raise ValueError(
            f"The texts have the characters {unknown}; expected those of the alphabet, "
            f"{''.join(alphabet)!r}. Normalise the texts, or add the characters to the alphabet."
        )
    boundary = len(alphabet)
    stream = [boundary]
    for text in texts:
        stream.extend(numbers[character] for character in text)
        stream.append(boundary)
    return np.array(stream)


def _choose_min_count(stream: np.ndarray, symbols: int, order: int, most: int) -> int:
    """How often a context must occur so that at most `most` contexts, beside the empty, do."""
    levels = _find_contexts(stream, symbols, order, min_count=1)
    counts = np.sort(np.concatenate([[0], *(level.counts for level in levels)]))[::-1]
    # Contexts within a context are at least as frequent: they are never left out before it.
    return int(counts[most]) + 1 if most < len(counts) else 1


def _find_contexts(
    stream: np.ndarray, symbols: int, order: int, min_count: int
) -> Iterator[_Contexts]:
    """Finds the contexts, shortest first; state 0 is the empty one."""
    positions = np.arange(len(stream))
    boundaries = np.maximum.accumulate(np.where(stream == symbols - 1, positions, 0))
    depths = positions - np.concatenate([[0], boundaries[:-1]])
    states, total = np.zeros_like(stream), 1
    for length in range(1, order):
        places = np.flatnonzero((states >= 0) & (depths >= length))
        keys = states[places] * symbols + stream[places - length]
        unique, firsts, inverse, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        is_kept = counts >= min_count
        numbers = np.where(is_kept, total + np.cumsum(is_kept) - 1, -1)
        before = places[firsts[is_kept]] - 1
        longer = np.full_like(stream, -1)
        longer[places] = numbers[inverse]
        yield _Contexts(
            longer, unique[is_kept] // symbols, states[before], stream[before], counts[is_kept]
        )
        states, total = longer, total + int(is_kept.sum())


def _transitions(levels: Sequence[_Contexts], symbols: int) -> np.ndarray:
    """Table `(states, characters)`: the longest context behind a state and a character."""
    table = np.zeros((1, symbols), np.int32)
    for level in levels:
        # A state goes where its suffix goes, unless there is a longer context.
        first, contexts = len(table), len(level.counts)
        table[level.prefixes, level.newest] = np.arange(first, first + contexts)
        table = np.concatenate([table, table[level.suffixes]])
    return table[:, :-1]


def _probabilities(levels: Sequence[_Contexts], stream: np.ndarray, symbols: int) -> np.ndarray:
    """Table `(states, characters + 1)`."""
    # The first boundary is given, not predicted.
    root = np.where(np.arange(len(stream)) > 0, 0, -1)
    table = _interpolate(_count(root, stream, symbols), 1 / symbols)
    for level in levels:
        counts = _count(level.states - len(table), stream, symbols)
        table = np.concatenate([table, _interpolate(counts, table[level.suffixes])])
    return table


def _count(states: np.ndarray, stream: np.ndarray, symbols: int) -> np.ndarray:
    """How often each symbol comes behind each state; `(states, symbols)`."""
    places = np.flatnonzero(states >= 0)
    cells = states[places] * symbols + stream[places]
    contexts = states.max(initial=-1) + 1
    return np.bincount(cells, minlength=contexts * symbols).reshape(contexts, symbols)


def _interpolate(counts: np.ndarray, shorter: np.ndarray | float) -> np.ndarray:
    """Probabilities by counts `(states, symbols)` and by the contexts that are shorter by one."""
    different = (counts > 0).sum(axis=1, keepdims=True)
    return (counts + different * shorter) / (counts.sum(axis=1, keepdims=True) + different)
