"""Texts to numbers, against Python; words that are hidden; what is read and kept of the data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import data
from apps.nlp import dataset
from apps.nlp.config import QUICK, AugmentationConfig, Config, SplitConfig, TextConfig
from apps.nlp.dataset import (
    WordDropout,
    build_augmentation,
    load,
    load_split,
    neighbours,
    prepare,
    write_samples,
)
from apps.nlp.preprocess import BOUNDARY, TextPreprocess, build_preprocess
from data.texts import Text, group_texts
from shared.layers.vocabulary import UNKNOWN
from shared.training.checkpoint import Checkpoints, Progress

LABELS = ("bad", "fine", "good")
WORDS = ("the", "sea", "blue", "東", "école", "!")
LANGUAGE_MODEL = replace(QUICK, task="language_model")
SEVERAL = replace(QUICK, text=TextConfig(label_separator="|"))


def layer_for(first: int = 2, last: int = 3, ngrams: int = 2) -> TextPreprocess:
    return TextPreprocess(WORDS, first, last, ngrams, ngram_bits=20)


def numbers_of(words: Sequence[str]) -> list[int]:
    """What stands for known words, unknown ones and the boundaries."""
    known = {word: number for number, word in enumerate((BOUNDARY, *WORDS), start=2)}
    return [known.get(word, UNKNOWN) for word in (BOUNDARY, *words, BOUNDARY)]


def prepared(
    text: str, labels: tuple[str, ...] = ("fine",), config: Config = QUICK, ngrams: int = 2
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and targets of one text."""
    others = [Text("x", (label,)) for label in LABELS]
    several = bool(config.text.label_separator)
    names, splits = group_texts([Text(text, labels), *others], several)
    example = next(iter(splits["train"].read(None)))
    answer = prepare(config, layer_for(ngrams=ngrams), names)(example)
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), answer)


@given(words=st.lists(st.sampled_from([*WORDS, "old", "5"]), max_size=9))
@settings(max_examples=15, deadline=None)
def test_words_of_random_texts_against_python(words):
    inputs, num_tokens = layer_for()(tf.constant([" ".join(words)]))
    kept = words if len(words) <= 5 else [*words[:2], *words[-3:]]
    assert inputs["words"].numpy()[0].tolist() == numbers_of(kept)
    assert num_tokens.numpy().tolist() == [len(words)]
    # Hashes collide, but not among a handful in a million.
    whole = [BOUNDARY, *words, BOUNDARY]
    distinct = {*whole, *zip(whole, whole[1:], strict=False)}
    assert np.count_nonzero(inputs["ngrams"]) == len(distinct)


def test_case_does_not_matter_and_ideographs_need_no_spaces():
    inputs, _ = prepared("THE École東!")
    assert inputs["words"].tolist() == numbers_of(["the", "école", "東", "!"])


def test_texts_of_a_batch_are_padded_behind_their_end():
    layer = layer_for()
    texts = ["the blue sea !", "", "old"]
    together, num_tokens = layer(tf.constant(texts))
    assert num_tokens.numpy().tolist() == [4, 0, 1]
    for row, text in enumerate(texts):
        alone, _ = layer(tf.constant([text]))
        for name, values in together.items():
            width = alone[name].shape[1]
            np.testing.assert_array_equal(values[row, :width], alone[name][0])
            assert not np.any(values[row, width:])


def test_targets_are_the_same_for_each_output():
    _, targets = prepared("the sea")
    assert targets.keys() == {"recurrent_logits", "ngram_logits"}
    for target in targets.values():
        np.testing.assert_array_equal(target, [0, 1, 0])
    inputs, targets = prepared("the sea", ngrams=0)
    assert (list(inputs), list(targets)) == (["words"], ["recurrent_logits"])


@pytest.mark.parametrize(
    ("labels", "expected"), [((), [0, 0, 0]), (("good", "bad"), [1, 0, 1]), (LABELS, [1, 1, 1])]
)
def test_targets_of_several_labels(labels, expected):
    _, targets = prepared("the sea", labels, SEVERAL)
    for target in targets.values():
        np.testing.assert_array_equal(target, expected)


def test_a_language_model_learns_the_words_on_both_sides():
    inputs, targets = prepared("the old sea", config=LANGUAGE_MODEL, ngrams=0)
    words = inputs["words"].tolist()
    assert words == numbers_of(["the", "old", "sea"])
    assert targets["next"].tolist() == [*words[1:], -1]
    assert targets["previous"].tolist() == [-1, *words[:-1]]
    batch = neighbours(tf.constant([words, words[::-1]]))
    assert batch["next"].numpy().tolist() == [[*words[1:], -1], [*words[-2::-1], -1]]


def hide(layer: WordDropout, words: np.ndarray) -> np.ndarray:
    return layer({"words": words}, words, training=True)[0]["words"].numpy()


def test_word_dropout_hides_its_share_of_the_words_and_no_padding():
    words = np.tile(np.array([2, 3, 9, 0], np.int32), (3000, 1))
    layer = WordDropout(0.3)
    inputs, targets = layer({"words": words, "ngrams": words}, words, training=True)
    found = inputs["words"].numpy()
    assert set(np.unique(found[found != words])) == {UNKNOWN}
    np.testing.assert_allclose((found != words).mean(axis=0), [0.3, 0.3, 0.3, 0], atol=0.04)
    for unchanged in (inputs["ngrams"], targets, layer({"words": words}, words)[0]["words"]):
        np.testing.assert_array_equal(unchanged, words)


def test_the_random_state_of_word_dropout_is_in_checkpoints(tmp_path: Path):
    layer, words = WordDropout(0.5), np.full((20, 30), 3, np.int32)
    checkpoints = Checkpoints(tmp_path, {"augmentation": layer.variables})
    hide(layer, words)
    checkpoints.save(Progress(), [])
    first, second = hide(layer, words), hide(layer, words)
    assert np.any(first != second)
    checkpoints.restore()
    np.testing.assert_array_equal(hide(layer, words), first)


def test_layers_describe_themselves():
    for layer in (WordDropout(0.25), layer_for()):
        described = keras.saving.serialize_keras_object(layer)
        copy = keras.saving.deserialize_keras_object(described)
        assert copy.get_config() == layer.get_config()
    assert copy.vocabulary.words == (BOUNDARY, *WORDS)


def test_words_are_hidden_from_classifiers_only_and_not_where_it_is_off():
    off = replace(QUICK, augmentation=AugmentationConfig(word_dropout=0.0))
    assert build_augmentation(off, layer_for(), LABELS) is None
    assert build_augmentation(LANGUAGE_MODEL, layer_for(), ()) is None
    share = QUICK.augmentation.word_dropout
    assert build_augmentation(QUICK, layer_for(), LABELS).share == share


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Sixty texts of three labels, whose most frequent words are "sea" and "the"."""
    rows = [f'"the sea, number {n % 7} of {n}",{LABELS[n % 3]},body {n % 2}' for n in range(60)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["text,label,rest", *rows]))
    return path


def test_the_vocabulary_is_that_of_the_training_texts_by_frequency(own: Path):
    config = replace(QUICK, data=str(own), text=TextConfig(vocabulary=5, minimum_count=3))
    words = build_preprocess(config, load(config)).vocabulary.words
    # All five are in every text; equal ones stand in the order of their letters.
    assert words == (BOUNDARY, ",", "number", "of", "sea", "the")
    every = replace(config, text=TextConfig(minimum_count=3))
    assert {"0", "1"} < set(build_preprocess(every, load(every)).vocabulary.words)
    assert "59" not in build_preprocess(every, load(every)).vocabulary.words


def test_fewer_training_texts_are_drawn_by_the_seed(own: Path):
    config = replace(QUICK, data=str(own))
    few = replace(config, split=SplitConfig(train_texts=10))
    whole, drawn, again = (load(each).splits for each in (config, few, few))
    assert drawn.train.size == 10
    assert set(drawn.train.ids) < set(whole.train.ids)
    for name in ("validation", "test"):
        assert list(getattr(drawn, name).ids) == list(getattr(whole, name).ids)
    assert list(again.train.ids) == list(drawn.train.ids)
    other = load(replace(few, seed=1, split=SplitConfig(train_texts=10))).splits.train.ids
    assert set(other) != set(drawn.train.ids)


def test_rare_words_are_cut_into_pieces(own: Path):
    config = replace(QUICK, data=str(own), text=TextConfig(vocabulary=3, pieces=40))
    layer = build_preprocess(config, load(config))
    assert layer.words[:4] == (BOUNDARY, ",", "number", "of") and "##e" in layer.words
    inputs, num_tokens = layer(tf.constant(["the sea, number", "of 東"]))
    assert num_tokens.numpy().tolist() == [4, 2]
    first, second = inputs["words"].numpy()
    pieces = [layer.words[number - 2] for number in first]
    assert "".join(piece.removeprefix("##") for piece in pieces) == "<text>thesea,number<text>"
    assert second.tolist() == [2, 5, UNKNOWN, 2, *[0] * (len(first) - 4)]
    np.testing.assert_array_equal(layer(tf.constant(["of 東"]))[0]["words"][0], second[:4])


def test_a_classifier_reads_both_ends_and_a_language_model_the_beginning(own: Path):
    for task, ends in (("classification", (100, 300)), ("language_model", (400, 0))):
        config = replace(QUICK, data=str(own), task=task)
        layer = build_preprocess(config, load(config))
        assert (layer.first, layer.last) == ends
        assert layer.ngrams == (2 if task == "classification" else 0)


def test_splits_to_evaluate_on_are_those_of_training(own: Path):
    config = replace(QUICK, data=str(own))
    labels, test, _ = load_split(config, "test")
    assert (labels, test.ids.tolist()) == (LABELS, load(config).splits.test.ids.tolist())
    assert load_split(config, "all")[1].size == 60


def test_columns_are_chosen_by_name(own: Path):
    config = replace(QUICK, data=str(own), text=TextConfig("rest,text", label_field="rest"))
    labels, everything, _ = load_split(config, "all")
    first = next(iter(everything.read(None)))
    assert labels == ("body 0", "body 1")
    assert first["input"].numpy() == b"body 0 the sea, number 0 of 0"


def test_all_that_is_wrong_is_found_before_training(own: Path):
    own.write_text(own.read_text() + "\n,bad,\nthe end,,")
    with pytest.raises(data.DataError) as error:
        load(replace(QUICK, data=str(own)))
    assert "own.csv:62: empty text" in str(error.value)
    assert "own.csv:63: no label" in str(error.value)


def test_a_language_model_is_measured_on_some_of_the_texts(
    own: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(LANGUAGE_MODEL, data=str(own))
    whole = load(config).splits
    assert (whole.labels, whole.train.size, whole.test.size) == ((), 42, 12)
    monkeypatch.setattr(dataset, "MEASURED_TEXTS", 3)
    few = load(config).splits
    assert (few.train.size, few.validation.size, few.test.size) == (42, 3, 3)
    ids = whole.test.ids.tolist()
    assert few.test.ids.tolist() == [ids[0], ids[5], ids[11]]


def test_samples_are_short_texts_of_different_labels(tmp_path: Path):
    texts = [
        Text("sea " * 60, ("bad",)),
        Text("--help", ("bad",)),
        Text("dull", ("bad",)),
        Text("grand", ("good",)),
        Text("dreary", ("bad",)),
        Text("so so", ("fine",)),
    ]
    labels, splits = group_texts(texts)
    assert write_samples(splits["train"], labels, tmp_path) == ["dull", "grand", "so so"]
