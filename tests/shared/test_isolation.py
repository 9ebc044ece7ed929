from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from shared.export.isolation import isolate_rows

OUTPUTS = {"value": tf.TensorSpec((2,), tf.float32), "text": tf.TensorSpec((), tf.string)}


def parse(text: tf.Tensor) -> dict[str, tf.Tensor]:
    """Raises, in its kernel, for whatever is not a number."""
    number = tf.strings.to_number(text)
    return {"value": tf.stack([number, -number]), "text": tf.strings.join([text, "!"])}


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
def parse_rows(texts: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    return isolate_rows(parse, texts, OUTPUTS)


@pytest.mark.parametrize("texts", [[], ["1"], ["x"], ["x", "y"], ["1", "x", "3", "", "5"]])
@pytest.mark.parametrize("eager", [True, False])
def test_rows_that_raise_are_zero_and_the_others_untouched(texts, eager):
    rows = tf.constant(texts, tf.string)
    results, valid = isolate_rows(parse, rows, OUTPUTS) if eager else parse_rows(rows)
    is_number = [text.isdigit() for text in texts]
    numbers = [float(text) if text.isdigit() else 0.0 for text in texts]
    assert valid.numpy().tolist() == is_number
    np.testing.assert_array_equal(results["value"], np.outer(numbers, [1, -1]).reshape(-1, 2))
    expected = [text.encode() + b"!" if text.isdigit() else b"" for text in texts]
    assert results["text"].numpy().tolist() == expected


def test_inputs_may_be_a_structure():
    def divide(row: dict[str, tf.Tensor]) -> tf.Tensor:
        return row["dividend"] // row["divisor"]

    inputs = {"dividend": tf.constant([6, 7, 8]), "divisor": tf.constant([3, 0, 2])}
    quotients, valid = isolate_rows(divide, inputs, tf.TensorSpec((), tf.int32))
    assert quotients.numpy().tolist() == [2, 0, 4]
    assert valid.numpy().tolist() == [True, False, True]


def test_inputs_may_be_a_tuple_and_outputs_too():
    inputs = (tf.constant([1, 2]), tf.constant(["a", "b"]))
    specs = (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.bool))
    results, valid = isolate_rows(lambda row: (row[1], row[0] > 1), inputs, specs)
    assert results[0].numpy().tolist() == [b"a", b"b"]
    assert results[1].numpy().tolist() == [False, True]
    assert valid.numpy().all()


def test_a_row_of_another_shape_is_invalid():
    lengths = tf.constant([2, 3, 2])
    results, valid = isolate_rows(lambda n: tf.ones([n]), lengths, tf.TensorSpec((2,), tf.float32))
    assert valid.numpy().tolist() == [True, False, True]
    np.testing.assert_array_equal(results, [[1, 1], [0, 0], [1, 1]])


def test_an_unknown_dimension_is_refused():
    with pytest.raises(ValueError, match="static shapes"):
        isolate_rows(tf.identity, tf.constant([1]), tf.TensorSpec((None,), tf.int32))


def test_a_function_that_contradicts_the_specification_is_refused():
    with pytest.raises(ValueError):
        isolate_rows(lambda row: tf.zeros((3,)), tf.constant([1]), tf.TensorSpec((2,), tf.float32))
    with pytest.raises(ValueError):
        isolate_rows(tf.identity, tf.constant([1]), tf.TensorSpec((), tf.float32))


def test_the_function_may_use_variables():
    scale = tf.Variable(3)
    results, _ = isolate_rows(lambda row: row * scale, tf.range(4), tf.TensorSpec((), tf.int32))
    assert results.numpy().tolist() == [0, 3, 6, 9]


def test_threads_do_not_mix_their_rows():
    def call(seed: int) -> None:
        numbers = np.random.default_rng(seed).integers(0, 1000, 30)
        texts = [str(number) if number % 3 else "x" for number in numbers]
        results, valid = parse_rows(tf.constant(texts))
        np.testing.assert_array_equal(valid, numbers % 3 > 0)
        np.testing.assert_array_equal(results["value"][:, 0], np.where(numbers % 3, numbers, 0))

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(call, range(80)))) == 80


def test_a_saved_model_gives_the_same(tmp_path):
    module = tf.Module()
    module.parse_rows = parse_rows
    tf.saved_model.save(module, str(tmp_path))
    texts = tf.constant(["1", "x", "3"])
    results, valid = tf.saved_model.load(str(tmp_path)).parse_rows(texts)
    expected, expected_valid = parse_rows(texts)
    tf.nest.map_structure(np.testing.assert_array_equal, results, expected)
    np.testing.assert_array_equal(valid, expected_valid)
