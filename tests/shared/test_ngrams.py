"""Hashed n-grams against sets of tuples, and their classifier against NumPy."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.ngrams import BagOfNgrams, hash_ngrams

ALLOWED_OPS = Path(__file__).parents[2] / "shared" / "export" / "allowed_ops.txt"
MANY_BITS = 30  # so many that no two n-grams of a test share a number
any_texts = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "", "ünï", "😀"]), max_size=9))
texts_of_any_words = st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=4)


def ragged(texts: Sequence[Sequence[str]]) -> tf.RaggedTensor:
    words = [word.encode("utf-8", "surrogatepass") for text in texts for word in text]
    lengths = np.array([len(text) for text in texts], np.int64)
    return tf.RaggedTensor.from_row_lengths(tf.constant(words, tf.string, (len(words),)), lengths)


@cache
def compiled(order: int, bits: int) -> Any:
    """The function as a graph for texts of all lengths."""
    signature = [tf.RaggedTensorSpec((None, None), tf.string)]
    return tf.function(lambda words: hash_ngrams(words, order, bits), signature, autograph=False)


def hashed(texts: Sequence[Sequence[str]], order: int = 2, bits: int = MANY_BITS) -> list:
    return compiled(order, bits)(ragged(texts)).to_list()


def ngrams(text: Sequence[str], order: int) -> set[tuple[str, ...]]:
    sizes = range(1, order + 1)
    return {tuple(text[i : i + n]) for n in sizes for i in range(len(text) - n + 1)}


@given(texts=any_texts | texts_of_any_words, order=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_each_different_ngram_of_a_text_has_one_number(texts, order):
    rows = hashed(texts, order)
    assert [len(row) for row in rows] == [len(ngrams(text, order)) for text in texts]
    for row in rows:
        assert row == sorted(set(row))
        assert all(0 < number < 2**MANY_BITS for number in row)


@given(first=st.lists(st.sampled_from("abc"), max_size=9), second=st.lists(st.sampled_from("abc")))
@settings(max_examples=60, deadline=None)
def test_texts_share_the_numbers_of_the_ngrams_that_they_share(first, second):
    one, other = hashed([first, second], order=3)
    assert len({*one} & {*other}) == len(ngrams(first, 3) & ngrams(second, 3))


@given(texts=any_texts)
@settings(max_examples=30, deadline=None)
def test_a_text_alone_is_as_in_a_batch(texts):
    assert [hashed([text], order=3)[0] for text in texts] == hashed(texts, order=3)


def test_ngrams_do_not_reach_into_the_next_text():
    assert hashed([["a"], ["b"], [], ["c", "d"]], order=4) == [
        *hashed([["a"], ["b"], []], order=1),
        *hashed([["c", "d"]], order=2),
    ]


def test_the_order_of_words_matters_from_two_on():
    one, other = ["not", "good", "but", "bad"], ["not", "bad", "but", "good"]
    assert len({map(tuple, hashed([one, other], order=1))}) == 1
    forward, backward = hashed([one, other], order=2)
    assert len({*forward} & {*backward}) == 4


def test_no_texts_and_texts_without_words():
    assert hashed([]) == []
    assert hashed([[], []]) == [[], []]
    assert hashed([[], ["a"], []])[::2] == [[], []]


@pytest.mark.parametrize("bits", [1, 3, 20])
def test_numbers_have_so_many_bits_and_are_never_that_of_padding(bits):
    words = [f"word {number}" for number in range(500)]
    (row,) = hash_ngrams(ragged([words]), 2, bits)
    assert row.dtype == tf.int32
    assert 0 < min(row.numpy()) and max(row.numpy()) < 2**bits
    assert len(row) == (2**bits - 1 if bits < 20 else len({*row.numpy()}))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_numbers_are_spread_evenly(order):
    """As many different ones as if each n-gram threw a die."""
    generator = np.random.default_rng(0)
    words = [f"word {number}" for number in generator.integers(0, 3000, 8000)]
    (row,) = hashed([words], order, bits=12)
    expected = 2**12 * (1 - np.exp(-len(ngrams(words, order)) / 2**12))
    assert len(row) == pytest.approx(expected, rel=0.03)


def test_the_graph_has_only_ops_that_every_server_has():
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def function(texts: tf.Tensor) -> tf.Tensor:
        return hash_ngrams(tf.strings.split(texts), 3, MANY_BITS).to_tensor()

    graph = function.get_concrete_function().graph.as_graph_def()
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    own = {function.signature.name for function in functions}
    assert {node.op for node in nodes} - own <= set(ALLOWED_OPS.read_text().split())
    for texts in (["a b a b", "", "b a"], [""], []):
        rows = function(tf.constant(texts, tf.string, (len(texts),))).numpy()
        expected = hashed([text.split() for text in texts], order=3)
        assert [[number for number in row if number] for row in rows.tolist()] == expected


def bag(bits: int = 4, classes: int = 3, gain: float = 2.5) -> BagOfNgrams:
    """A layer with random weights, also for padding."""
    layer = BagOfNgrams(bits, classes, gain)
    layer.build((None, None))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


FEATURES = np.array([[1, 5, 15, 0], [2, 0, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6]], np.int32)


def test_logits_are_the_scores_over_the_root_of_their_number():
    layer = bag()
    scores, bias = layer.get_weights()
    for row, found in zip(FEATURES, layer(FEATURES), strict=True):
        present = row[row != 0]
        expected = 2.5 * scores[present].sum(axis=0) / np.sqrt(max(len(present), 1)) + bias
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_logits_do_not_depend_on_padding_nor_on_other_texts():
    layer = bag()
    logits = layer(FEATURES)
    wider = np.pad(FEATURES, ((0, 0), (2, 3)))
    np.testing.assert_allclose(layer(wider), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(FEATURES[1:2, :1]), logits[1:2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(FEATURES[:, ::-1]), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(FEATURES[2:3, :0]), logits[2:3], rtol=1e-5, atol=1e-6)


def test_only_the_scores_of_ngrams_that_are_there_are_trained():
    layer = bag()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(layer(FEATURES)))
    gradient = tf.convert_to_tensor(tape.gradient(total, layer.scores.value)).numpy()
    trained = sorted({*FEATURES.flatten()} - {0})
    assert np.flatnonzero(np.any(gradient, axis=1)).tolist() == trained


def test_a_new_layer_answers_nothing_and_learns_what_ngrams_speak_for():
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, BagOfNgrams(bits=4, classes=2)(inputs))
    assert not np.any(model(FEATURES))
    model.compile(
        keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    targets = np.array([0, 1, 0, 1])
    for _ in range(30):
        model.train_on_batch(FEATURES, targets)
    np.testing.assert_array_equal(np.argmax(model(FEATURES), axis=1), targets)


def test_the_configuration_goes_round():
    layer = bag()
    described = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(described)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(FEATURES), layer(FEATURES))
