"""LSTM and GRU against Keras, alone against padded, and as a server runs them."""

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

from shared.export.verification import ALLOWED_OPS
from shared.layers.recurrent import GRU, LSTM

LENGTHS = (9, 1, 4, 9, 2)
TIME, FEATURES, UNITS = 9, 7, 6
BOTH = pytest.mark.parametrize("layer_class", [LSTM, GRU])
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


def batch_of(lengths: Sequence[int] = LENGTHS) -> tuple[tf.Tensor, tf.Tensor]:
    return random((len(lengths), TIME, FEATURES)), tf.sequence_mask(lengths, TIME)


def random(shape: Sequence[int], seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def build(layer_class: type, **settings: Any) -> Any:
    """A layer with random weights, biases too."""
    layer = layer_class(UNITS, **settings)
    layer.build((None, None, FEATURES))
    layer.set_weights([0.5 * random(weight.shape, seed=1) for weight in layer.weights])
    return layer


def build_keras(layer: LSTM | GRU) -> keras.Layer:
    """Keras' own layer with the weights of `layer`."""
    layer_class = getattr(keras.layers, type(layer).__name__)
    twin = layer_class(UNITS, return_sequences=True, return_state=True, use_cudnn=False)
    if layer.bidirectional:
        twin = keras.layers.Bidirectional(twin)
    twin.build((None, None, FEATURES))
    twin.set_weights(layer.get_weights())
    return twin


def values_and_gradients(
    layer: keras.Layer, inputs: tf.Tensor, mask: tf.Tensor, states: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Outputs and last states, and gradients with respect to all that they depend on."""
    weights = [weight.value for weight in layer.weights]
    with tf.GradientTape() as tape:
        tape.watch([inputs, *states])
        outputs, *last = layer(inputs, mask=mask, initial_state=states)
        outputs *= tf.cast(mask, tf.float32)[:, :, None]  # Keras repeats its last output there.
        values = [outputs, *last]
        total = tf.add_n([tf.reduce_sum(value * random(value.shape, seed=2)) for value in values])
    gradients = tape.gradient(total, [inputs, *states, *weights])
    return [tf.convert_to_tensor(tensor) for tensor in (*values, *gradients)]


@BOTH
@DIRECTIONS
@pytest.mark.parametrize("in_graph", [True, False])
def test_values_and_gradients_are_those_of_keras(layer_class, bidirectional, in_graph):
    layer = build(layer_class, bidirectional=bidirectional, return_state=True)
    inputs, mask = batch_of()
    number = layer.num_states * (2 if bidirectional else 1)
    states = [random((len(LENGTHS), UNITS), seed=seed) for seed in range(3, 3 + number)]
    expected = values_and_gradients(build_keras(layer), inputs, mask, states)
    function = values_and_gradients
    if in_graph:
        function = tf.function(values_and_gradients, autograph=False)
    for index, value in enumerate(function(layer, inputs, mask, states)):
        np.testing.assert_allclose(value, expected[index], rtol=1e-5, atol=1e-5, err_msg=str(index))


@BOTH
@DIRECTIONS
def test_weights_have_the_names_and_order_of_keras(layer_class, bidirectional):
    layer = build(layer_class, bidirectional=bidirectional)
    sets = ["forward_", "backward_"] if bidirectional else [""]
    names = [prefix + name for prefix in sets for name in ("kernel", "recurrent_kernel", "bias")]
    assert [weight.name for weight in layer.weights] == names
    twin = build_keras(layer)
    assert [weight.shape for weight in twin.weights] == [weight.shape for weight in layer.weights]


def test_a_new_lstm_remembers():
    layer = LSTM(UNITS)
    layer.build((None, None, FEATURES))
    assert np.array_equal(layer.get_weights()[2].reshape(4, UNITS).mean(1), [0, 1, 0, 0])


@cache
def compiled(layer_class: type, bidirectional: bool) -> Any:
    """A layer as a graph for batches of every size."""
    layer = build(layer_class, bidirectional=bidirectional, return_state=True)
    signature = [tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, None), tf.bool)]
    return tf.function(lambda x, mask: layer(x, mask=mask), signature, autograph=False)


@BOTH
@DIRECTIONS
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, TIME), min_size=1, max_size=6))
def test_a_row_alone_is_as_in_a_padded_batch(layer_class, bidirectional, lengths):
    run = compiled(layer_class, bidirectional)
    inputs, mask = batch_of(lengths)
    outputs, *states = run(inputs, mask)
    for row, length in enumerate(lengths):
        alone, *last = run(inputs[row : row + 1, :length], mask[row : row + 1, :length])
        np.testing.assert_allclose(outputs[row, :length], alone[0], rtol=1e-4, atol=1e-6)
        for state, expected in zip(states, last, strict=True):
            np.testing.assert_allclose(state[row], expected[0], rtol=1e-4, atol=1e-6)


@BOTH
def test_what_stands_behind_a_row_has_no_influence(layer_class):
    layer = build(layer_class, bidirectional=True)
    inputs, mask = batch_of()
    spoilt = tf.where(mask[:, :, None], inputs, np.nan)
    with tf.GradientTape() as tape:
        tape.watch(spoilt)
        outputs = layer(spoilt, mask=mask)
        total = tf.reduce_sum(outputs)
    assert np.array_equal(outputs, layer(inputs, mask=mask))
    assert np.all(outputs.numpy()[~mask.numpy()] == 0)
    gradients = tape.gradient(total, [spoilt, *(weight.value for weight in layer.weights)])
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    assert np.all(gradients[0].numpy()[~mask.numpy()] == 0)


@BOTH
def test_rows_may_come_in_any_order(layer_class):
    layer = build(layer_class, bidirectional=True)
    inputs, mask = batch_of()
    order = [3, 0, 4, 1, 2]
    outputs = layer(inputs, mask=mask).numpy()
    shuffled = layer(tf.gather(inputs, order), mask=tf.gather(mask, order))
    np.testing.assert_allclose(shuffled, outputs[order], rtol=1e-4, atol=1e-6)


@BOTH
def test_without_a_mask_all_steps_count(layer_class):
    layer = build(layer_class, bidirectional=True)
    inputs, _ = batch_of()
    assert np.array_equal(layer(inputs), layer(inputs, mask=np.ones((len(LENGTHS), TIME), bool)))


@BOTH
def test_a_row_without_steps_keeps_its_state(layer_class):
    layer = build(layer_class, return_state=True)
    inputs, mask = batch_of((0, 0))
    states = [random((2, UNITS), seed) for seed in range(layer.num_states)]
    outputs, *last = layer(inputs, mask=mask, initial_state=states)
    assert np.all(outputs == 0)
    assert all(np.array_equal(after, before) for after, before in zip(last, states, strict=True))


@BOTH
def test_a_text_goes_on_from_the_returned_states(layer_class):
    layer = build(layer_class, return_state=True)
    inputs, _ = batch_of()
    outputs, *last = layer(inputs)
    first, *states = layer(inputs[:, :4])
    second, *end = layer(inputs[:, 4:], initial_state=states)
    np.testing.assert_allclose(tf.concat([first, second], 1), outputs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(end, last, rtol=1e-4, atol=1e-6)


@BOTH
@DIRECTIONS
def test_steps_one_by_one_are_the_forward_direction(layer_class, bidirectional):
    layer = build(layer_class, bidirectional=bidirectional)
    inputs, _ = batch_of()
    outputs = layer(inputs)[:, :, :UNITS]
    states = [tf.zeros((len(LENGTHS), UNITS))] * layer.num_states
    for time in range(TIME):
        states = layer.step(inputs[:, time], states)
        np.testing.assert_allclose(states[0], outputs[:, time], rtol=1e-4, atol=1e-6)


@BOTH
@DIRECTIONS
def test_dropout_takes_the_same_recurrent_weights_at_all_steps(layer_class, bidirectional):
    layer = build(layer_class, bidirectional=bidirectional, recurrent_dropout=0.5)
    plain = build(layer_class, bidirectional=bidirectional)
    inputs, mask = batch_of()
    np.testing.assert_array_equal(layer(inputs, mask=mask), plain(inputs, mask=mask))
    dropout = keras.layers.Dropout(0.5)
    dropout.seed_generator.state.assign(layer.weight_dropout.seed_generator.state)
    for weight in plain.weights:
        if "recurrent" in weight.name:
            weight.assign(dropout(weight, training=True))
            assert 0.2 < np.mean(weight.numpy() == 0) < 0.8
    trained = layer(inputs, mask=mask, training=True)
    np.testing.assert_allclose(trained, plain(inputs, mask=mask), rtol=1e-5, atol=1e-6)


@BOTH
def test_dropout_depends_on_the_seed_alone(layer_class):
    inputs, _ = batch_of()
    found = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        layer = build(layer_class, recurrent_dropout=0.3)
        found.append([layer(inputs, training=True) for _ in range(2)])
    np.testing.assert_array_equal(found[0], found[1])
    for one, other in ((found[0][0], found[0][1]), (found[0][0], found[2][0])):
        assert np.abs(one - other).max() > 0.01
    copy = layer_class.from_config(layer.get_config())
    assert copy.recurrent_dropout == 0.3


@BOTH
def test_mixed_precision_computes_in_float32(layer_class):
    inputs, mask = batch_of()
    expected = build(layer_class)(inputs, mask=mask)
    layer = build(layer_class, dtype="mixed_bfloat16")
    outputs = layer(inputs, mask=mask)
    assert outputs.dtype == tf.bfloat16
    assert all(weight.dtype == "float32" for weight in layer.weights)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=0.05)
    zeros = [tf.zeros((len(LENGTHS), UNITS))] * layer.num_states
    first = layer.step(tf.cast(inputs[:, 0], tf.bfloat16), zeros)
    np.testing.assert_allclose(first[0], expected[:, 0], atol=0.05)


@BOTH
def test_training_and_copying_in_a_model_with_masks(layer_class):
    inputs = keras.Input((None, FEATURES))
    hidden = keras.layers.Masking()(inputs)
    hidden = layer_class(UNITS, bidirectional=True)(hidden)
    hidden = layer_class(UNITS, return_state=True)(hidden)[0]
    hidden = keras.layers.GlobalAveragePooling1D()(hidden)  # supports masks only if one arrives
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.03), "mse")
    batch, mask = batch_of()
    batch *= tf.cast(mask, tf.float32)[:, :, None]
    losses = [model.train_on_batch(batch, np.ones((len(LENGTHS), 1))) for _ in range(15)]
    assert losses[-1] < losses[0] / 2
    answers = model.predict(batch, verbose=0)
    alone = model.predict(batch[1:2, : LENGTHS[1]], verbose=0)
    np.testing.assert_allclose(answers[1:2], alone, rtol=1e-4)
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    assert np.array_equal(copy.predict(batch, verbose=0), answers)


@BOTH
@DIRECTIONS
def test_the_shape_that_keras_is_told(layer_class, bidirectional):
    layer = layer_class(UNITS, bidirectional=bidirectional, return_state=True)
    told = layer.compute_output_shape((len(LENGTHS), TIME, FEATURES))
    assert list(told) == [tuple(value.shape) for value in layer(batch_of()[0])]
    symbolic = layer_class(UNITS, bidirectional=bidirectional)(keras.Input((None, FEATURES)))
    assert symbolic.shape == (None, None, UNITS * (2 if bidirectional else 1))


@BOTH
def test_a_server_runs_the_graph_at_every_size(layer_class, tmp_path: Path):
    layer = build(layer_class, bidirectional=True, return_state=True)
    module = tf.Module()
    module.layer = layer

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, FEATURES)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def serve(inputs: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return {str(i): value for i, value in enumerate(layer(inputs, mask=mask))}

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(tmp_path), serve, options)
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for rows, time in ((5, TIME), (1, 3), (3, 0), (0, 4)):
        inputs, mask = (tensor[:rows, :time] for tensor in batch_of())
        expected = layer(inputs, mask=mask)
        for index, value in loaded(inputs=inputs, mask=mask).items():
            np.testing.assert_allclose(value, expected[int(index)], rtol=1e-4, atol=1e-6)
    graph = loaded.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert {node.op for node in nodes} <= ALLOWED_OPS


@BOTH
def test_what_cannot_be_built_or_run(layer_class):
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        layer_class(0)
    with pytest.raises(ValueError, match="known number of features, got shape .None, None"):
        layer_class(UNITS).build((None, None, None))
    with pytest.raises(ValueError, match=r"must have \d tensors \(batch, 6\), got 3"):
        build(layer_class)(batch_of()[0], initial_state=[tf.zeros((5, UNITS))] * 3)
