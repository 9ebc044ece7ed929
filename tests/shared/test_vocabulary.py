"""Words to numbers, against a dictionary."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.vocabulary import UNKNOWN, Vocabulary

WORDS = ("play", "ünï", "😀", "", "Ж", "a b")
ALLOWED_OPS = Path(__file__).parents[2] / "shared" / "export" / "allowed_ops.txt"
any_words = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=12)


def test_words_are_numbered_from_two_in_their_order():
    vocabulary = Vocabulary(WORDS)
    numbers = vocabulary(tf.constant(WORDS))
    assert numbers.dtype == tf.int32
    np.testing.assert_array_equal(numbers, range(2, 8))
    assert vocabulary.size == 8
    assert (0, UNKNOWN) == (0, 1)


@given(words=any_words.map(lambda words: list(dict.fromkeys(words))), asked=any_words)
@settings(max_examples=100, deadline=None)
def test_any_words_against_a_dictionary(words, asked):
    numbers = {word: position + 2 for position, word in enumerate(words)}
    found = Vocabulary(words)(tf.constant([*asked, *words], tf.string))
    assert found.numpy().tolist() == [numbers.get(word, 1) for word in [*asked, *words]]


def test_many_words():
    words = [f"word {number}" for number in np.random.default_rng(0).permutation(50_000)]
    vocabulary = Vocabulary(words)
    np.testing.assert_array_equal(vocabulary(tf.constant(words)), np.arange(2, 50_002))
    np.testing.assert_array_equal(vocabulary(tf.constant([f"{w}!" for w in words])), UNKNOWN)


@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (3, 1, 2), (0,), (2, 0)])
def test_any_shape(shape):
    words = np.resize(np.array(WORDS, object), shape)
    found = Vocabulary(WORDS)(tf.constant(words, tf.string, shape))
    expected = [WORDS.index(word) + 2 for word in words.flat]
    np.testing.assert_array_equal(found, np.reshape(expected, shape))


def test_an_empty_vocabulary_knows_nothing():
    vocabulary = Vocabulary(())
    np.testing.assert_array_equal(vocabulary(tf.constant(["", "a"])), [UNKNOWN] * 2)
    assert vocabulary.size == 2


def test_bytes_that_are_not_utf_8_are_unknown():
    assert Vocabulary(WORDS)(tf.constant([b"\xff", b"pla\x00y"])).numpy().tolist() == [1, 1]


def test_repeated_words_are_refused():
    with pytest.raises(
        ValueError, match=r"`words` has \['a', 'b'\] twice; expected every word once"
    ):
        Vocabulary(["b", "a", "c", "b", "a"])


def test_the_graph_holds_no_resource_and_only_ops_that_every_server_has():
    vocabulary = Vocabulary(WORDS)
    function = tf.function(vocabulary.call, input_signature=[tf.TensorSpec((None,), tf.string)])
    graph = function.get_concrete_function().graph.as_graph_def()
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    own = {function.signature.name for function in functions}
    assert {node.op for node in nodes} - own <= set(ALLOWED_OPS.read_text().split())
    assert not any("Table" in node.op or "Variable" in node.op for node in nodes)
    np.testing.assert_array_equal(function(tf.constant(["Ж", "no"])), [6, 1])


def test_the_configuration_goes_round():
    described = keras.saving.serialize_keras_object(Vocabulary(WORDS))
    copy = keras.saving.deserialize_keras_object(described)
    np.testing.assert_array_equal(copy(tf.constant(["😀", "no"])), [4, 1])
