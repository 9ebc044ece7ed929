"""Byte-pair encoding, against a slow one that counts everything again for every merge."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.word_pieces import WordPieces
from shared.training.piece_learning import learn_pieces

# The words of Sennrich et al. 2016, figure 1.
COUNTS = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
any_word = st.text(st.sampled_from("aaab#é\u0301😀"), max_size=9)
any_counts = st.dictionaries(any_word, st.integers(1, 4), max_size=15)


def slow(counts: dict[str, int], size: int) -> list[str]:
    """As the docstring of `learn_pieces` says, step by step."""
    words = {
        tuple("##" + c if place else c for place, c in enumerate(word)): count
        for word, count in counts.items()
        if not word.startswith("##")
    }
    seen: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            seen[character] += count
    frequent = [character for character, count in seen.items() if count >= 2]
    pieces = sorted(frequent, key=lambda character: (-seen[character], character))[:size]
    words = {word: count for word, count in words.items() if set(word) <= set(pieces)}
    while len(pieces) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        left, right = min(pairs, key=lambda pair: (-pairs[pair], pair), default=("", ""))
        if pairs[left, right] < 2:
            return pieces
        words = {joined(word, left, right): count for word, count in words.items()}
        if left + right[2:] not in pieces:
            pieces.append(left + right[2:])
    return pieces


def joined(word: tuple[str, ...], left: str, right: str) -> tuple[str, ...]:
    if word[:2] == (left, right):
        return (left + right[2:], *joined(word[2:], left, right))
    return word[:1] + joined(word[1:], left, right) if word else ()


def test_the_words_of_the_paper():
    pieces = " ".join(learn_pieces(COUNTS, 16))
    assert pieces == "##e ##w ##s ##t ##o l n ##d ##i w ##r ##es ##est ##ow low ##ew"


@given(counts=any_counts, size=st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_any_words_against_the_slow_one(counts, size):
    assert list(learn_pieces(counts, size)) == slow(counts, size)


def test_many_words_against_the_slow_one():
    random = np.random.default_rng(0)
    letters = list("abcdefgh")
    words = ["".join(random.choice(letters, size)) for size in random.integers(1, 10, 300)]
    counts = {word: int(count) for word, count in zip(words, random.zipf(1.5, 300), strict=True)}
    assert list(learn_pieces(counts, 150)) == slow(counts, 150)


@given(counts=any_counts)
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_words_changes_nothing(counts):
    turned = dict(reversed(counts.items()))
    assert learn_pieces(turned, 30) == learn_pieces(counts, 30)


def test_the_layer_cuts_every_word_that_was_learned_from():
    counts = {**COUNTS, "éé": 2, "😀e\u0301": 2, "x": 1}
    pieces, words = learn_pieces(counts, 60), list(counts)
    numbers = WordPieces(pieces)(tf.constant(words)).to_list()
    texts = ["".join(pieces[n - 2].removeprefix("##") for n in row) for row in numbers[:-1]]
    assert texts == words[:-1]
    assert numbers[-1] == [1]


def test_a_character_that_occurs_once_is_no_piece_and_its_word_teaches_nothing():
    assert learn_pieces({"ab": 1, "cb": 2, "abx": 1}, 9) == ("##b", "a", "c", "cb")


def test_the_most_frequent_characters_are_kept_if_there_is_no_room():
    assert learn_pieces(COUNTS, 2) == ("##e", "##w")
    assert learn_pieces({}, 5) == ()


def test_only_the_beginning_of_a_long_word_is_read():
    pieces = learn_pieces({"abcdef": 3}, 20, max_characters=3)
    assert pieces == ("##b", "##c", "a", "##bc", "abc")
    pieces = learn_pieces({"a" * 10**6: 2}, 1000)
    assert max(len(piece.removeprefix("##")) for piece in pieces) == 32


def test_a_word_that_begins_like_a_continuation_is_left_out():
    assert learn_pieces({"##ab": 9, "a#": 2, "##": 5}, 9) == ("###", "a", "a#")


@pytest.mark.parametrize(("size", "max_characters"), [(0, 32), (5, 0)])
def test_sizes_must_be_positive(size, max_characters):
    message = rf"`size` is {size} and `max_characters` is {max_characters}; expected at least 1"
    with pytest.raises(ValueError, match=message):
        learn_pieces(COUNTS, size, max_characters)
