"""Pieces of words, learned from the words of the training texts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from shared.layers.word_pieces import CONTINUATION, MAX_CHARACTERS

# What occurs once is no pattern, and an embedding could not be learned for it.
_MIN_COUNT = 2

Pair = tuple[str, str]


def learn_pieces(
    counts: Mapping[str, int], size: int, max_characters: int = MAX_CHARACTERS
) -> tuple[str, ...]:
    """Learns pieces for `shared.layers.word_pieces.WordPieces` by byte-pair encoding.

    Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016,
    https://aclanthology.org/P16-1162: words are sequences of characters, and the most frequent pair
    of neighbours becomes one piece, again and again. The first piece of a word is written as it is,
    one that continues a word begins with "##". Ties go to the pair that comes first as text.

    Args:
        counts: How often each training word occurs; normalised words. A word that begins with
            "##" is left out, as it reads like a piece that continues one.
        size: Number of pieces that are learned at most.
        max_characters: Of a longer word only so many characters are read.

    Returns:
        The characters that occur at least twice, then the merged pieces; both with the most
        frequent first.

    Raises:
        ValueError: If `size` or `max_characters` is less than 1.
    """
    if size < 1 or max_characters < 1:
        raise ValueError(
            f"`size` is {size} and `max_characters` is {max_characters}; "
            "expected at least 1 of each."
        )
    words = [
        (_characters(word[:max_characters]), count)
        for word, count in counts.items()
        if not word.startswith(CONTINUATION)
    ]
    pieces = dict.fromkeys(_frequent_characters(words)[:size])
    # A word with another character is unknown to the layer, whatever else is learned.
    corpus = _Corpus((word, count) for word, count in words if pieces.keys() >= set(word))
    while len(pieces) < size and (pair := corpus.most_frequent_pair()):
        corpus.merge(pair)
        pieces[_joined(pair)] = None
    return tuple(pieces)


class _Corpus:
    """Words as lists of pieces, with an account of the pairs of neighbours in them."""

    def __init__(self, words: Iterable[tuple[list[str], int]]) -> None:
        self.words = list(words)
        self.counts: dict[Pair, int] = defaultdict(int)
        self.places: dict[Pair, list[int]] = defaultdict(list)
        for place, (word, count) in enumerate(self.words):
            for pair in pairwise(word):
                self.counts[pair] += count
                self.places[pair].append(place)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapify(self.heap)

    def most_frequent_pair(self) -> Pair | None:
        """The pair to merge next, or None if no pair occurs often enough."""
        while self.heap:
            count, pair = heappop(self.heap)
            # A pair whose count has changed is on the heap once more.
            if -count == self.counts[pair]:
                return pair if -count >= _MIN_COUNT else None
        return None

    def merge(self, pair: Pair) -> None:
        """Makes one piece of the pair wherever it occurs."""
        changes: dict[Pair, int] = defaultdict(int)
        # Where a merge took a pair away, its place is still listed; there is nothing to do then.
        for place in self.places.pop(pair):
            word, count = self.words[place]
            for old, new in _merge(word, pair):
                changes[old] -= count
                changes[new] += count
                self.places[new].append(place)
        changes[pair] = -self.counts[pair]
        for changed, change in changes.items():
            if change:
                self.counts[changed] += change
                heappush(self.heap, (-self.counts[changed], changed))


def _characters(word: str) -> list[str]:
    return [CONTINUATION + character if i else character for i, character in enumerate(word)]


def _frequent_characters(words: Iterable[tuple[list[str], int]]) -> list[str]:
    counts: Counter[str] = Counter()
    for word, count in words:
        for character in word:
            counts[character] += count
    frequent = [character for character in counts if counts[character] >= _MIN_COUNT]
    return sorted(frequent, key=lambda character: (-counts[character], character))


def _joined(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix(CONTINUATION)


def _merge(word: list[str], pair: Pair) -> Iterator[tuple[Pair, Pair]]:
    """Joins a pair in a word, from left to right; yields what became of its neighbours' pairs."""
    joined = _joined(pair)
    position = 0
    while position < len(word) - 1:
        if (word[position], word[position + 1]) == pair:
            word[position : position + 2] = [joined]
            if position > 0:
                before = word[position - 1]
                yield (before, pair[0]), (before, joined)
            if position + 1 < len(word):
                after = word[position + 1]
                yield (pair[1], after), (joined, after)
        position += 1
