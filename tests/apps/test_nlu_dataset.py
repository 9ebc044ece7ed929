"""Sentences to tags, against Python; slots that are swapped; words that are hidden."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import data
from apps.nlu.config import QUICK, AugmentationConfig
from apps.nlu.dataset import (
    SlotSwap,
    WordDropout,
    build_augmentation,
    build_variation,
    load,
    load_split,
    prepare,
    write_samples,
)
from apps.nlu.preprocess import TextPreprocess
from data.utterances import Slot, Utterance, group_utterances
from shared.layers.tokenizer import token_boundaries
from shared.training.checkpoint import Checkpoints, Progress
from shared.training.sequence_batching import Row

NAMES = ("city", "day")
TAGS = ("O", "B-city", "I-city", "B-day", "I-day")
LABELS = ("fly", "stay", "walk")


def layer_for(slot_names: tuple[str, ...] = NAMES) -> TextPreprocess:
    return TextPreprocess(["fly", "to"], [9, 1], slot_names, word_characters=4)


def prepared(
    utterance: Utterance, slot_names: tuple[str, ...] = NAMES
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and targets of one sentence."""
    others = [Utterance("x", label) for label in LABELS]
    labels, splits = group_utterances([utterance, *others])
    split = splits["train"]
    example = {name: tf.constant(column[0]) for name, column in split.annotations.items()}
    example |= {"input": tf.constant(utterance.text), "label": tf.constant(split.labels[0])}
    answer = prepare(QUICK, layer_for(slot_names), labels)(example)
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), answer)


def expected_tags(text: str, slots: list[Slot], names: tuple[str, ...]) -> list[str]:
    (boundaries,) = token_boundaries([text])
    tags = ["O"] * len(boundaries)
    for slot in slots:
        inside = [i for i, (a, b) in enumerate(boundaries) if slot.start <= a and b <= slot.end]
        for place, token in enumerate(inside if slot.name in names else []):
            tags[token] = f"{'I' if place else 'B'}-{slot.name}"
    return tags


@st.composite
def sentences(draw: Callable) -> tuple[str, list[Slot]]:
    """Words of any script, some of which are slots; neighbours may have one name."""
    words = draw(
        st.lists(
            st.sampled_from(["to", "o'clock", "5pm", "😀", "e\u0301t", "ß", "東京"]), min_size=1
        )
    )
    text, slots, word = "", [], 0
    while word < len(words):
        name = draw(st.sampled_from([None, "city", "day", "mood"]))
        length = draw(st.integers(1, 3)) if name else 1
        value = "  ".join(words[word : word + length])
        if name:
            slots.append(Slot(name, len(text), len(text) + len(value)))
        text, word = f"{text}{value} ", word + length
    return text.rstrip(), slots


@given(sentence=sentences())
@settings(max_examples=40, deadline=None)
def test_tags_of_random_sentences_against_python(sentence):
    text, slots = sentence
    inputs, targets = prepared(Utterance(text, "stay", tuple(slots)))
    assert [TAGS[tag] for tag in targets["slots"]] == expected_tags(text, slots, NAMES)
    assert len(inputs["words"]) == len(inputs["characters"]) == len(targets["slots"])
    np.testing.assert_array_equal(targets["intent"], [0, 1, 0])


def test_neighbours_of_one_name_are_two_slots_and_unknown_names_none():
    slots = (Slot("city", 0, 4), Slot("city", 5, 9), Slot("mood", 10, 13), Slot("day", 14, 19))
    _, targets = prepared(Utterance("rome oslo sad today", "fly", slots))
    assert targets["slots"].tolist() == [1, 1, 0, 3]


def test_without_slot_names_all_tags_are_outside():
    assert layer_for(()).tags == ("O",)
    _, targets = prepared(Utterance("to rome", "fly", (Slot("city", 3, 7),)), slot_names=())
    assert targets["slots"].tolist() == [0, 0]


def test_inputs_are_numbers_of_words_and_of_their_characters():
    inputs, _ = prepared(Utterance("FLY to rome", "fly"))
    assert inputs["words"].tolist() == [2, 3, 1]
    letters = [[ord(letter) + 1 for letter in word] for word in ("fly", "to", "rome")]
    assert inputs["characters"].tolist() == [row + [0] * (4 - len(row)) for row in letters]


def row_of(words: list[int], tags: list[int], label: int = 0) -> Row:
    """As `prepare` gives them; a word's characters follow from its number."""
    numbers = np.array(words, np.int32)
    characters = np.stack([numbers, numbers + 1], axis=-1)
    return [characters, numbers, np.eye(3, dtype=np.float32)[label], np.array(tags, np.int32)]


ROWS = [
    row_of([10, 20, 30], [0, 1, 2], 0),
    row_of([11, 40, 12, 50, 51, 52], [0, 1, 0, 3, 4, 4], 1),
    row_of([13, 14], [0, 0], 2),
    row_of([60, 70, 15], [1, 1, 0], 0),
]
# The words of all slots, by the tag that they begin with.
VALUES = {1: {(20, 30), (40,), (60,), (70,)}, 3: {(50, 51, 52)}}


def swap(share: float, seed: int = 0) -> list[Row]:
    return SlotSwap(share)(ROWS, np.random.default_rng(seed))


def spans_of(row: Row) -> list[tuple[int, tuple[int, ...]]]:
    """First tag and words of each slot."""
    spans: list[tuple[int, tuple[int, ...]]] = []
    for word, tag in zip(row[1].tolist(), row[3].tolist(), strict=True):
        if tag % 2:
            spans.append((tag, (word,)))
        elif tag:
            first, words = spans[-1]
            assert first == tag - 1
            spans[-1] = (first, (*words, word))
    return spans


def outside(row: Row) -> list[int]:
    return row[1][row[3] == 0].tolist()


def test_swapped_slots_keep_the_sentence_around_them():
    for seed in range(30):
        for old, new in zip(ROWS, swap(0.7, seed), strict=True):
            np.testing.assert_array_equal(new[0], np.stack([new[1], new[1] + 1], axis=-1))
            np.testing.assert_array_equal(new[2], old[2])
            assert outside(new) == outside(old)
            assert [tag for tag, _ in spans_of(new)] == [tag for tag, _ in spans_of(old)]
            assert all(words in VALUES[tag] for tag, words in spans_of(new))
            assert [array.dtype for array in new] == [array.dtype for array in old]


def test_every_value_of_the_name_comes_up():
    seen: dict[int, set] = {1: set(), 3: set()}
    for seed in range(60):
        for tag, words in spans_of(swap(1.0, seed)[1]):
            seen[tag].add(words)
    assert seen == VALUES


def test_the_share_of_swapped_slots():
    for old, new in zip(ROWS, swap(0.0), strict=True):
        for left, right in zip(old, new, strict=True):
            np.testing.assert_array_equal(left, right)
    changed = [spans_of(swap(0.5, seed)[1])[0][1] != (40,) for seed in range(400)]
    # Half of the slots are drawn anew, a quarter of these get their own words again.
    assert np.mean(changed) == pytest.approx(0.375, abs=0.07)


def test_the_seed_fixes_what_is_swapped_and_the_rows_stay_as_they_are():
    before = [[array.copy() for array in row] for row in ROWS]

    def words(seed: int) -> list[list[int]]:
        return [row[1].tolist() for row in swap(1.0, seed)]

    assert words(1) == words(1)
    assert any(words(1) != words(seed) for seed in range(2, 9))
    for old, new in zip(before, ROWS, strict=True):
        for left, right in zip(old, new, strict=True):
            np.testing.assert_array_equal(left, right)


def test_word_dropout_hides_rare_words_more_often():
    counts = [np.inf, 1.0, 1.0, 3.0, 99.0]
    layer = WordDropout(counts, share=1.0)
    words = np.tile(np.arange(5, dtype=np.int32), (4000, 1))
    inputs, targets = layer({"words": words, "characters": words}, words, training=True)
    found = inputs["words"].numpy()
    assert set(np.unique(found[found != words])) == {1}
    rates = (found != words).mean(axis=0)
    np.testing.assert_allclose(rates, [0, 0, 0.5, 0.25, 0.01], atol=0.03)
    assert rates[0] == 0
    for unchanged in (inputs["characters"], targets):
        np.testing.assert_array_equal(unchanged, words)


def test_word_dropout_does_nothing_at_prediction():
    layer = WordDropout([np.inf, 1.0, 1.0], share=1000.0)
    words = tf.constant([[2, 2, 0]])
    np.testing.assert_array_equal(layer({"words": words}, words)[0]["words"], words)
    assert np.any(layer({"words": words}, words, training=True)[0]["words"] != words)


def test_the_random_state_of_word_dropout_is_in_checkpoints(tmp_path: Path):
    layer = build_augmentation(QUICK, layer_for(), LABELS)
    words = np.full((20, 30), 3, np.int32)
    checkpoints = Checkpoints(tmp_path, {"augmentation": layer.variables})

    def hide() -> np.ndarray:
        return layer({"words": words}, words, training=True)[0]["words"].numpy()

    hide()
    checkpoints.save(Progress(), [])
    first, second = hide(), hide()
    assert np.any(first != second)
    checkpoints.restore()
    np.testing.assert_array_equal(hide(), first)


def test_word_dropout_follows_the_counts_of_the_preprocess_layer():
    layer = build_augmentation(QUICK, layer_for(), LABELS)
    np.testing.assert_allclose(layer.chances, [0, 0.2, 0.25 / 9.25, 0.2], rtol=1e-6)
    described = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(described)
    np.testing.assert_array_equal(copy.chances, layer.chances)


def test_changes_of_training_sentences_can_be_switched_off():
    off = replace(QUICK, augmentation=AugmentationConfig(word_dropout=0.0, swapped_slots=0.0))
    assert build_augmentation(off, layer_for(), LABELS) is None
    assert build_variation(off) is None
    assert build_variation(QUICK) == SlotSwap(QUICK.augmentation.swapped_slots)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Sentences of three intents, one of which has a slot that cuts a word."""
    rows = [{"text": f"{n} to rome", "intent": LABELS[n % 3]} for n in range(60)]
    rows[7]["slots"] = [{"name": "city", "start": 5, "end": 7}]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_all_that_is_wrong_is_found_before_training(own: Path):
    survey = load(replace(QUICK, data=str(own)))
    assert survey.facts["slot_names"].tolist() == ["city"]
    with pytest.raises(data.DataError, match=r"own\.jsonl:8: slot city 'ro' cuts the token 'rome'"):
        survey.raise_errors()


def test_splits_to_evaluate_on_are_those_of_training(own: Path):
    config = replace(QUICK, data=str(own))
    labels, test, _ = load_split(config, "test")
    assert (labels, test.ids.tolist()) == (LABELS, load(config).splits.test.ids.tolist())
    _, everything, (problem,) = load_split(config, "all")
    assert everything.size == 59
    assert problem.severity == "warning" and "left out" in problem.message


def test_samples_are_sentences_of_different_intents(own: Path, tmp_path: Path):
    _, everything, _ = load_split(replace(QUICK, data=str(own)), "all")
    assert write_samples(everything, LABELS, tmp_path) == [f"{n} to rome" for n in range(3)]
