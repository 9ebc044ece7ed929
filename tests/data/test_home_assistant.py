import re
from collections import Counter

import pytest

from data.home_assistant import GRAMMAR, read_home_assistant
from data.readers.grammar import read_grammar
from data.utterances import OUT_OF_SCOPE, Utterance

SPLITS = ("train", "validation", "test")
CLOSED = {
    "brightness",
    "colour",
    "date",
    "duration",
    "quantity",
    "temperature",
    "time",
    "volume",
}
SHARED = {
    "room": {"kitchen", "living room", "bedroom", "bathroom", "hallway", "office", "upstairs"}
    | {"downstairs"},
    "device": {"light", "lights", "lamp", "lamps", "fan", "heater", "television", "tv", "radio"}
    | {"speaker", "speakers"},
    "cover": {"blinds", "curtains", "shutters", "shades"},
    "door": {"front door", "back door"},
}
"""Values of open slots that all splits may have."""


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Utterance]]:
    sentences = read_home_assistant()
    return {name: [u for u in sentences if u.split == name] for name in SPLITS}


def phrasing(utterance: Utterance) -> str:
    """The sentence with the names of its slots in place of their values."""
    text = utterance.text
    for name, start, end in reversed(utterance.slots):
        text = f"{text[:start]}{{{name}}}{text[end:]}"
    return text


def values(sentences: list[Utterance]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for utterance in sentences:
        for name, start, end in utterance.slots:
            found.setdefault(name, set()).add(utterance.text[start:end])
    return found


def test_the_grammar_is_without_warnings_and_says_that_it_is_synthetic():
    assert read_grammar(GRAMMAR)[1] == []
    assert "SYNTHETIC" in "".join(GRAMMAR.read_text().splitlines()[:5])


def test_sizes(splits):
    assert {name: len(sentences) for name, sentences in splits.items()} == {
        "train": 5000,
        "validation": 600,
        "test": 1200,
    }
    for sentences in splits.values():
        share = Counter(utterance.intent for utterance in sentences)[OUT_OF_SCOPE] / len(sentences)
        assert 0.1 < share < 0.15


def test_every_split_has_every_intent_and_every_slot(splits):
    intents = [{utterance.intent for utterance in sentences} for sentences in splits.values()]
    slots = [set(values(sentences)) for sentences in splits.values()]
    assert intents[0] == intents[1] == intents[2] and len(intents[0]) == 21
    assert slots[0] == slots[1] == slots[2] and len(slots[0]) == 22


def test_no_sentence_comes_twice(splits):
    texts = Counter(u.text for sentences in splits.values() for u in sentences)
    assert texts.most_common(1)[0][1] == 1


def test_sentences_are_lower_case_and_out_of_scope_has_no_slots(splits):
    for utterance in (u for sentences in splits.values() for u in sentences):
        assert re.fullmatch(r"[a-z0-9 ',:-]+", utterance.text), utterance
        assert utterance.intent != OUT_OF_SCOPE or not utterance.slots, utterance


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (1, 2)])
def test_splits_share_no_phrasings_and_no_values_of_open_slots(splits, first, second):
    first, second = splits[SPLITS[first]], splits[SPLITS[second]]
    assert not set(map(phrasing, first)) & set(map(phrasing, second))
    first_values, second_values = values(first), values(second)
    for name in first_values.keys() - CLOSED:
        shared = first_values[name] & second_values[name]
        assert shared <= SHARED.get(name, set()), name
