"""The recurrences of LSTM and GRU over packed sequences, with gradients written out by hand.

Automatic differentiation forms the gradient of the recurrent weights anew at every step. Here the
loop over time carries only what depends on the step before, and the gradient of the weights is
one product of all steps. Inside the loop the gates may have several products, which cores compute
side by side; where the cores have other work, such as another direction, a single one is faster.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

Arrays = tuple[tf.TensorArray, ...]


def lstm(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    counts: tf.Tensor,
    products: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a long short-term memory over packed sequences.

    Hochreiter and Schmidhuber, 1997, with the forget gate of Gers, Schmidhuber and Cummins, 2000.

    Args:
        projected: float32 `(steps, 4 * units)`. Packed inputs times kernel, plus bias; gates in
            the order input, forget, cell, output.
        recurrent_kernel: float32 `(units, 4 * units)`.
        hidden: float32 `(batch, units)`. Initial outputs in the packed order of rows.
        cell: float32 `(batch, units)`. Initial cell states in the packed order of rows.
        counts: int32 `(time,)`. How many rows have each step, see `sequence_packing`.
        products: int. Into how many products the gates of a step are divided.

    Returns:
        Packed outputs and cell states, both float32 `(steps, units)`.
    """
    # All that a function with a gradient of its own is called with becomes tensors.
    run = tf.custom_gradient(lambda *tensors: _run_lstm(products, *tensors))
    return run(projected, recurrent_kernel, hidden, cell, counts)


def _run_lstm(
    products: int,
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    counts: tf.Tensor,
) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
    kernels = tf.split(recurrent_kernel, products, axis=1)

    def step(projected: tf.Tensor, states: tuple) -> tuple[tuple, tuple]:
        hidden, cell = states
        i, f, g, o = tf.split(projected + _multiply(hidden, kernels), 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        next_cell = f * cell + i * g
        squashed = tf.tanh(next_cell)
        next_hidden = o * squashed
        states = (next_hidden, next_cell)
        return states, (*states, hidden, cell, i, f, g, o, squashed)

    hiddens, cells, *saved = _forward(counts, step, projected, (hidden, cell), number=9)

    def gradient(d_hiddens: tf.Tensor, d_cells: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        d_hiddens, d_cells = tf.convert_to_tensor(d_hiddens), tf.convert_to_tensor(d_cells)
        transposed = tf.split(tf.transpose(recurrent_kernel), products, axis=0)

        def step(rows: slice, states: tuple) -> tuple[tuple, tuple]:
            cell, i, f, g, o, squashed = (values[rows] for values in saved[1:])
            d_hidden = states[0] + d_hiddens[rows]
            d_cell = states[1] + d_cells[rows] + _tanh_gradient(squashed, d_hidden * o)
            gates = (
                _sigmoid_gradient(i, d_cell * g),
                _sigmoid_gradient(f, d_cell * cell),
                _tanh_gradient(g, d_cell * i),
                _sigmoid_gradient(o, d_hidden * squashed),
            )
            d_gates = tf.concat(gates, axis=1)
            return (_sum_products(d_gates, transposed), d_cell * f), (d_gates,)

        d_states, (d_projected,) = _backward(counts, step, (hidden, cell), [projected])
        d_kernel = tf.matmul(saved[0], d_projected, transpose_a=True)
        d_initial = [_grow(state, tf.shape(hidden)[0]) for state in d_states]
        return d_projected, d_kernel, *d_initial, None

    return (hiddens, cells), gradient


def gru(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor,
    hidden: tf.Tensor,
    counts: tf.Tensor,
    products: int,
) -> tf.Tensor:
    """Runs a gated recurrent unit over packed sequences, the reset gate behind the product.

    Cho et al., 2014, https://arxiv.org/abs/1406.1078v1.

    Args:
        projected: float32 `(steps, 3 * units)`. Packed inputs times kernel, plus the bias of the
            inputs; gates in the order update, reset, candidate.
        recurrent_kernel: float32 `(units, 3 * units)`.
        recurrent_bias: float32 `(3 * units,)`.
        hidden: float32 `(batch, units)`. Initial outputs in the packed order of rows.
        counts: int32 `(time,)`. How many rows have each step, see `sequence_packing`.
        products: int. Into how many products the gates of a step are divided.

    Returns:
        Packed outputs, float32 `(steps, units)`.
    """
    # All that a function with a gradient of its own is called with becomes tensors.
    run = tf.custom_gradient(lambda *tensors: _run_gru(products, *tensors))
    return run(projected, recurrent_kernel, recurrent_bias, hidden, counts)


def _run_gru(
    products: int,
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor,
    hidden: tf.Tensor,
    counts: tf.Tensor,
) -> tuple[tf.Tensor, Callable]:
    kernels = tf.split(recurrent_kernel, products, axis=1)

    def step(projected: tf.Tensor, states: tuple) -> tuple[tuple, tuple]:
        [hidden] = states
        x_z, x_r, x_n = tf.split(projected, 3, axis=1)
        gates = tf.nn.bias_add(_multiply(hidden, kernels), recurrent_bias)
        h_z, h_r, h_n = tf.split(gates, 3, axis=1)
        z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
        n = tf.tanh(x_n + r * h_n)
        next_hidden = n + z * (hidden - n)
        return (next_hidden,), (next_hidden, hidden, z, r, n, h_n)

    hiddens, *saved = _forward(counts, step, projected, (hidden,), number=6)

    def gradient(d_hiddens: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        d_hiddens = tf.convert_to_tensor(d_hiddens)
        transposed = tf.split(tf.transpose(recurrent_kernel), products, axis=0)

        def step(rows: slice, states: tuple) -> tuple[tuple, tuple]:
            hidden, z, r, n, h_n = (values[rows] for values in saved)
            d_hidden = states[0] + d_hiddens[rows]
            d_z = _sigmoid_gradient(z, d_hidden * (hidden - n))
            d_n = _tanh_gradient(n, d_hidden * (1 - z))
            d_r = _sigmoid_gradient(r, d_n * h_n)
            d_gates = tf.concat([d_z, d_r, d_n * r], axis=1)
            d_previous = d_hidden * z + _sum_products(d_gates, transposed)
            return (d_previous,), (tf.concat([d_z, d_r, d_n], axis=1), d_gates)

        (d_initial,), gates = _backward(counts, step, (hidden,), [projected] * 2)
        d_projected, d_gates = gates
        d_kernel = tf.matmul(saved[0], d_gates, transpose_a=True)
        d_bias = tf.reduce_sum(d_gates, axis=0)
        return d_projected, d_kernel, d_bias, _grow(d_initial, tf.shape(hidden)[0]), None

    return hiddens, gradient


def _forward(
    counts: tf.Tensor,
    step: Callable,
    projected: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    number: int,
) -> list[tf.Tensor]:
    """Calls `step(projected, states)` for the rows of each step and packs the values it returns.

    They leave the loop as plain tensors: a SavedModel holds the gradient's graph, too, and could
    not pass it the loop's arrays.
    """
    [inputs] = _arrays(counts, [projected])
    inputs = inputs.split(projected, counts)

    def body(t: tf.Tensor, states: tuple, arrays: Arrays) -> tuple:
        rows = inputs.read(t)
        count = tf.shape(rows)[0]
        states, values = step(rows, tuple(state[:count] for state in states))
        return t + 1, states, _write(arrays, t, values)

    arrays = _arrays(counts, [states[0]] * number)
    _, arrays = _loop(lambda t: t < tf.size(counts), body, (0,), states, arrays)
    return [array.concat() for array in arrays]


def _backward(
    counts: tf.Tensor, step: Callable, states: tuple[tf.Tensor, ...], like: Sequence[tf.Tensor]
) -> tuple[tuple[tf.Tensor, ...], list[tf.Tensor]]:
    """Calls `step(rows, d_states)` from the last step to the first and packs the values."""

    def body(t: tf.Tensor, end: tf.Tensor, states: tuple, arrays: Arrays) -> tuple:
        count = counts[t]
        states = tuple(_grow(state, count) for state in states)
        states, values = step(slice(end - count, end), states)
        return t - 1, end - count, states, _write(arrays, t, values)

    first = (tf.size(counts) - 1, tf.reduce_sum(counts))
    empty = tuple(state[:0] for state in states)
    states, arrays = _loop(lambda t: t >= 0, body, first, empty, _arrays(counts, like))
    return states, [array.concat() for array in arrays]


def _loop(
    condition: Callable, body: Callable, first: tuple, states: tuple, arrays: Arrays
) -> tuple[tuple[tf.Tensor, ...], Arrays]:
    shapes = tuple(tf.TensorShape((None, state.shape[1])) for state in states)
    unknown = tuple(tf.TensorShape(None) for _ in arrays)
    *_, states, arrays = tf.while_loop(
        lambda t, *_: condition(t),
        body,
        (*first, states, arrays),
        shape_invariants=(*[tf.TensorShape(())] * len(first), shapes, unknown),
    )
    return states, arrays


def _arrays(counts: tf.Tensor, like: Sequence[tf.Tensor]) -> Arrays:
    """Arrays of one element for each step, whose elements have as many columns as `like`."""
    return tuple(
        tf.TensorArray(
            tensor.dtype, tf.size(counts), element_shape=(None, tensor.shape[1]), infer_shape=False
        )
        for tensor in like
    )


def _write(arrays: Arrays, t: tf.Tensor, values: Sequence[tf.Tensor]) -> Arrays:
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=True))


def _grow(rows: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Appends zeros up to `count` rows."""
    return tf.pad(rows, [[0, count - tf.shape(rows)[0]], [0, 0]])


def _multiply(hidden: tf.Tensor, kernels: Sequence[tf.Tensor]) -> tf.Tensor:
    """The products with all kernels, side by side."""
    return tf.concat([tf.matmul(hidden, kernel) for kernel in kernels], axis=1)


def _sum_products(gates: tf.Tensor, kernels: Sequence[tf.Tensor]) -> tf.Tensor:
    """The sum of the products with all kernels, each with its share of the gates."""
    parts = tf.split(gates, len(kernels), axis=1)
    return tf.add_n([tf.matmul(part, kernel) for part, kernel in zip(parts, kernels, strict=True)])


def _sigmoid_gradient(sigmoid: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.SigmoidGrad(y=sigmoid, dy=gradient)


def _tanh_gradient(tanh: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.TanhGrad(y=tanh, dy=gradient)
