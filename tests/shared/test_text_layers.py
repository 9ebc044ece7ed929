"""Pooling, character convolution and padding of ragged rows, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.character_convolution import CharacterConvolution
from shared.layers.pooling import AttentionPooling, MaskedMaxPooling
from shared.layers.ragged import keep_ends, to_dense

BUCKETS = 20
LENGTHS = (5, 2, 1, 3)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def sequences(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `LENGTHS` and width 5, with large values behind their ends, and the mask."""
    mask = np.arange(5) < np.array(LENGTHS)[:, None]
    inputs = generator.normal(size=(4, 5, 3)).astype(np.float32)
    inputs[~mask] = 50.0
    return inputs, mask


def pooling(generator: np.random.Generator) -> AttentionPooling:
    layer = AttentionPooling()
    layer.build((None, None, 3))
    layer.set_weights([generator.normal(size=(3, 1))])
    return layer


def test_attention_pools_by_softmax_of_a_linear_score(generator):
    layer, (inputs, mask) = pooling(generator), sequences(generator)
    pooled = layer(inputs, mask=mask).numpy()
    (kernel,) = layer.get_weights()
    for row, length in enumerate(LENGTHS):
        steps = inputs[row, :length]
        weights = np.exp(steps @ kernel)
        np.testing.assert_allclose(pooled[row], (weights / weights.sum() * steps).sum(0), rtol=1e-5)


def test_attention_without_a_mask_takes_all_steps(generator):
    layer, (inputs, _) = pooling(generator), sequences(generator)
    expected = layer(inputs, mask=np.ones((4, 5), bool))
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-6)


def test_attention_of_a_row_alone_is_as_in_a_padded_batch(generator):
    layer, (inputs, mask) = pooling(generator), sequences(generator)
    together = layer(inputs, mask=mask)
    for row, length in enumerate(LENGTHS):
        alone = layer(inputs[row : row + 1, :length])
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5)


def test_attention_of_a_row_without_steps_is_finite(generator):
    layer, (inputs, mask) = pooling(generator), sequences(generator)
    pooled = layer(inputs, mask=mask & (np.arange(4) > 0)[:, None]).numpy()
    np.testing.assert_allclose(pooled[0], inputs[0].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(pooled[1:], layer(inputs, mask=mask)[1:], rtol=1e-6)


def test_maximum_is_that_of_the_steps_under_the_mask(generator):
    inputs, mask = sequences(generator)
    together = MaskedMaxPooling()(inputs, mask=mask).numpy()
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(together[row], inputs[row, :length].max(axis=0))
        np.testing.assert_array_equal(
            MaskedMaxPooling()(inputs[row : row + 1, :length])[0], together[row]
        )


def test_maximum_of_a_row_without_steps_is_zero(generator):
    inputs, mask = sequences(generator)
    pooled = MaskedMaxPooling()(inputs, mask=mask & (np.arange(4) > 0)[:, None]).numpy()
    np.testing.assert_array_equal(pooled[0], np.zeros(3))
    assert pooled[1:].any(axis=1).all()


def test_attention_learns_and_passes_no_gradient_to_padding(generator):
    layer, (values, mask) = pooling(generator), sequences(generator)
    inputs = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(tf.square(layer(inputs, mask=mask)))
    at_kernel, at_inputs = tape.gradient(total, [layer.kernel.value, inputs])
    assert np.any(at_kernel.numpy())
    assert not np.any(at_inputs.numpy()[~mask])
    assert np.all(np.any(at_inputs.numpy()[mask], axis=-1))


def test_attention_ends_the_mask(generator):
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    pooled = AttentionPooling()(embedded)
    assert pooled.shape == (None, 3)
    assert getattr(pooled, "_keras_mask", None) is None
    model = keras.Model(inputs, pooled)
    np.testing.assert_allclose(model(np.array([[1, 2, 0]])), model(np.array([[1, 2]])), rtol=1e-6)


def characters(generator: np.random.Generator, length: int = 6) -> np.ndarray:
    """Two sentences of three words, the last of the second being padding."""
    ids = generator.integers(1, BUCKETS, (2, 3, length)).astype(np.int32)
    lengths = np.array([[6, 3, 1], [2, 5, 0]])
    return np.where(np.arange(length) < lengths[..., None], ids, 0)


def convolution(generator: np.random.Generator, *widths: int) -> CharacterConvolution:
    layer = CharacterConvolution(BUCKETS, size=4, filters=5, widths=widths)
    layer.build((None, None, 6))
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


def convolve_word(layer: CharacterConvolution, word: np.ndarray) -> np.ndarray:
    """The largest value of each filter, not negative, over the word's own characters."""
    embedded = layer.embedding.get_weights()[0][word[word != 0]]
    features = []
    for width, conv in zip(layer.widths, layer.convolutions, strict=True):
        kernel, bias = conv.get_weights()
        left = (width - 1) // 2
        padded = np.pad(embedded, ((left, width - 1 - left), (0, 0)))
        windows = [padded[start : start + width] for start in range(len(embedded))]
        values = [np.einsum("wc,wcf->f", window, kernel) + bias for window in windows]
        features.append(np.max([np.zeros(layer.filters), *values], axis=0))
    return np.concatenate(features)


@pytest.mark.parametrize("widths", [(3,), (2, 4), (1, 7), (3, 5)])
def test_character_features_against_numpy(generator, widths):
    layer, ids = convolution(generator, *widths), characters(generator)
    found = layer(ids).numpy()
    expected = [[convolve_word(layer, word) for word in sentence] for sentence in ids]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found.shape == layer.compute_output_shape(ids.shape) == (2, 3, 5 * len(widths))
    assert not np.any(found[1, 2])


def test_character_features_do_not_depend_on_padding(generator):
    layer, ids = convolution(generator, 3, 5), characters(generator)
    padded = np.pad(ids, ((0, 0), (0, 2), (0, 3)))
    np.testing.assert_allclose(layer(padded)[:, :3], layer(ids), rtol=1e-5, atol=1e-6)
    assert not np.any(layer(padded)[:, 3:])
    np.testing.assert_allclose(
        layer(ids[:1, 1:2, :3])[0, 0], layer(ids)[0, 1], rtol=1e-5, atol=1e-6
    )


def test_character_features_train_every_weight(generator):
    layer, ids = convolution(generator, 3, 5), characters(generator)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(layer(ids)))
    gradients = tape.gradient(total, [weight.value for weight in layer.trainable_variables])
    for weight, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert np.any(tf.convert_to_tensor(gradient).numpy()), weight.path
    assert not np.any(tf.convert_to_tensor(gradients[0]).numpy()[0])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_of_reduced_precision_stay_finite(generator, precision):
    inputs, mask = sequences(generator)
    pooled = AttentionPooling(dtype=precision)(inputs, mask=mask)
    found = CharacterConvolution(BUCKETS, 4, 5, (3,), dtype=precision)(characters(generator))
    for values in (pooled, found):
        assert values.dtype == precision.removeprefix("mixed_")
        assert np.all(np.isfinite(np.asarray(values, np.float32)))


def test_configurations_go_round(generator):
    layer, ids = convolution(generator, 3, 5), characters(generator)
    described = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(described)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(ids), layer(ids))
    described = keras.saving.serialize_keras_object(AttentionPooling(name="pool"))
    assert keras.saving.deserialize_keras_object(described).name == "pool"


@given(
    rows=st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=5),
    width=st.integers(0, 7),
    padding=st.none() | st.integers(-3, 3),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_filled_up_to_one_width(rows, width, padding):
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(sum(rows, []), tf.int32), tf.constant(list(map(len, rows)), tf.int64)
    )
    columns = max([width, *map(len, rows)])
    expected = [row + [padding or 0] * (columns - len(row)) for row in rows]
    found = to_dense(ragged, width, padding)
    np.testing.assert_array_equal(found, np.reshape(expected, (len(rows), columns)))
    assert found.dtype == tf.int32


def test_rows_of_texts_and_of_vectors():
    texts = tf.ragged.constant([["a", "b"], []], dtype=tf.string)
    assert to_dense(texts, 3).numpy().tolist() == [[b"a", b"b", b""], [b""] * 3]
    vectors = tf.RaggedTensor.from_row_lengths(tf.ones((3, 2)), [1, 2])
    found = to_dense(vectors, 4, -1.0)
    assert found.shape == (2, 4, 2)
    np.testing.assert_array_equal(found[:, :, 0], [[1, -1, -1, -1], [1, 1, -1, -1]])


def test_the_width_may_be_known_only_in_the_graph():
    @tf.function(input_signature=[tf.RaggedTensorSpec((None, None), tf.int32), tf.TensorSpec(())])
    def pad(rows: tf.RaggedTensor, width: tf.Tensor) -> tf.Tensor:
        return to_dense(rows, width)

    rows = tf.ragged.constant([[1], [2, 3]], dtype=tf.int32)
    assert pad(rows, 3.0).numpy().tolist() == [[1, 0, 0], [2, 3, 0]]
    assert pad(rows, 0.0).numpy().tolist() == [[1, 0], [2, 3]]


@given(
    rows=st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=5),
    first=st.integers(0, 4),
    last=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_the_middle_of_long_rows_is_left_out(rows, first, last):
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(sum(rows, []), tf.int32), tf.constant(list(map(len, rows)), tf.int64)
    )
    expected = [
        row if len(row) <= first + last else row[:first] + row[len(row) - last :] for row in rows
    ]
    found = keep_ends(ragged, first, last)
    assert found.to_list() == expected
    assert found.dtype == tf.int32


def test_the_middle_of_texts_and_of_vectors_is_left_out():
    texts = tf.ragged.constant([["a", "b", "c", "d"], [], ["e", "f"]], dtype=tf.string)
    assert keep_ends(texts, 1, 1).to_list() == [[b"a", b"d"], [], [b"e", b"f"]]
    vectors = tf.RaggedTensor.from_row_lengths(tf.reshape(tf.range(8.0), (4, 2)), [3, 1])
    assert keep_ends(vectors, 0, 1).to_list() == [[[4.0, 5.0]], [[6.0, 7.0]]]
