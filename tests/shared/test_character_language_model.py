"""Character n-grams, against the recursion of Witten and Bell in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.character_language_model import CharacterLanguageModel
from shared.training.character_ngram_learning import learn_character_ngrams

ALPHABET = ("a", "b", "é", " ")
TEXTS = ("abab a", "bé", "", "ab ab ab", "a a a", "éé ab")
END = "$"
any_texts = st.lists(st.text("".join(ALPHABET), max_size=8), min_size=1, max_size=6)


class PlainModel:
    """Counts of all contexts, a probability by recursion."""

    def __init__(self, texts: list[str], order: int) -> None:
        self.order = order
        self.followers: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            whole = END + text + END
            for place in range(1, len(whole)):
                for length in range(min(order, place + 1)):
                    self.followers[whole[place - length : place]][whole[place]] += 1

    def probability(self, character: str, context: str, contexts: set[str] | None = None) -> float:
        followers = self.followers[context]
        if context:
            shorter = self.probability(character, context[1:], contexts)
        else:
            shorter = 1 / (len(ALPHABET) + 1)
        if not followers or (contexts is not None and context not in contexts):
            return shorter
        seen = len(followers)
        return (followers[character] + seen * shorter) / (followers.total() + seen)

    def log_probability(self, text: str, contexts: set[str] | None = None) -> float:
        whole = END + text + END
        return sum(
            np.log(
                self.probability(
                    whole[place], whole[max(0, place - self.order + 1) : place], contexts
                )
            )
            for place in range(1, len(whole))
        )


def walk(model: CharacterLanguageModel, text: str, alphabet: Sequence[str] = ALPHABET) -> float:
    """The log-probability of a text and its end, by the tables."""
    state, total = model.start, 0.0
    for character in text:
        number = alphabet.index(character)
        total += model.log_probabilities[state, number]
        state = model.transitions[state, number]
    return total + model.log_probabilities[state, -1]


@given(texts=any_texts, new=any_texts, order=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_texts_are_as_probable_as_by_plain_python(texts, new, order):
    model, plain = learn_character_ngrams(texts, ALPHABET, order), PlainModel(texts, order)
    for text in (*texts, *new):
        assert walk(model, text) == pytest.approx(plain.log_probability(text), rel=1e-5)


@given(texts=any_texts, order=st.integers(1, 5), max_bytes=st.sampled_from([0, 200, 400, 10**6]))
@settings(max_examples=60, deadline=None)
def test_probabilities_of_each_state_sum_to_one(texts, order, max_bytes):
    model = learn_character_ngrams(texts, ALPHABET, order, max_bytes)
    states = len(model.transitions)
    assert model.transitions.shape == (states, 4) and model.transitions.dtype == np.int32
    assert model.log_probabilities.shape == (states, 5)
    assert model.log_probabilities.dtype == np.float32
    assert np.all((model.transitions >= 0) & (model.transitions < states))
    assert 0 <= model.start < states
    np.testing.assert_allclose(np.exp(model.log_probabilities).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("states", [1, 2, 5, 10, 15, 1000])
def test_of_too_many_contexts_the_most_frequent_are_kept(states):
    plain = PlainModel(list(TEXTS), 4)
    counts = sorted((f.total() for context, f in plain.followers.items() if context), reverse=True)
    least = counts[states - 1] if states <= len(counts) else 0
    kept = {context for context, f in plain.followers.items() if f.total() > least or not context}
    model = learn_character_ngrams(TEXTS, ALPHABET, 4, max_bytes=states * 5 * 8)
    assert len(model.transitions) == len(kept) <= states
    for text in (*TEXTS, "bba é"):
        expected = plain.log_probability(text, kept)
        assert walk(model, text) == pytest.approx(expected, rel=1e-5)


def test_what_was_learned_is_more_probable():
    texts = ["turn on the lamp", "turn off the lamp", "turn the lamp off"]
    alphabet = sorted(set("".join(texts)))
    model = learn_character_ngrams(texts, alphabet)
    learned, turned = "turn the lamp on", "pmal eht no nrut"
    perplexities = [np.exp(-walk(model, text, alphabet) / len(text)) for text in (learned, turned)]
    assert perplexities[0] < 3 < 10 < perplexities[1]


def test_many_texts_are_learned_in_seconds_and_fit():
    random = np.random.default_rng(0)
    characters = random.choice(list("abcdefghijklmnopqrstuvwxyz "), (20_000, 50))
    model = learn_character_ngrams(
        ["".join(row) for row in characters], "abcdefghijklmnopqrstuvwxyz ", 4, max_bytes=10**6
    )
    size = model.transitions.nbytes + model.log_probabilities.nbytes
    assert 10**5 < size <= 10**6


@pytest.mark.parametrize(
    ("texts", "order", "message"),
    [
        ([], 3, "There are 0 texts"),
        (["a"], 0, "`order` is 0; expected at least 1"),
        (["a", "xay?"], 3, r"characters \['\?', 'x', 'y'\]; expected those of the alphabet"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts, order, message):
    with pytest.raises(ValueError, match=message):
        learn_character_ngrams(texts, ALPHABET, order)
