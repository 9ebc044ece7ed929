"""The recurrences of LSTM and GRU over time, with gradients written out by hand.

Automatic differentiation forms the gradient of the recurrent weights anew at every step. Here the
loop over time carries only what depends on the step before; the gradient of the weights is one
product of all steps. Only core TensorFlow ops are used, so that a CPU server can run the graph.
"""

from collections.abc import Callable

import tensorflow as tf


def lstm(
    projected: tf.Tensor, recurrent_kernel: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a long short-term memory over time.

    Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; forget gate of Gers, Schmidhuber
    and Cummins, 2000.

    Args:
        projected: float32 `(time, batch, 4 * units)`. Inputs times kernel, plus bias; gates in
            the order input, forget, cell, output.
        recurrent_kernel: float32 `(units, 4 * units)`.
        hidden: float32 `(batch, units)`. Output of the step before the first.
        cell: float32 `(batch, units)`. Cell state of the step before the first.

    Returns:
        Outputs and cell states of all steps, both float32 `(time, batch, units)`.
    """
    return _lstm(projected, recurrent_kernel, hidden, cell)


@tf.custom_gradient
def _lstm(
    projected: tf.Tensor, recurrent_kernel: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
    units = recurrent_kernel.shape[0]
    time = tf.shape(projected)[0]
    steps = _read(projected)

    def step(t: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, saved: tuple) -> tuple:
        gates = steps.read(t) + tf.matmul(hidden, recurrent_kernel)
        i, f, g, o = tf.split(gates, 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        cell = f * cell + i * g
        squashed = tf.tanh(cell)
        hidden = o * squashed
        return t + 1, hidden, cell, _write(saved, t, (hidden, cell, i, f, g, o, squashed))

    saved = _arrays(time, [units] * 7)
    *_, saved = tf.while_loop(
        lambda t, *_: t < time, step, (0, hidden, cell, saved), maximum_iterations=time
    )
    hiddens, cells = saved[0].stack(), saved[1].stack()

    def gradient(d_hiddens: tf.Tensor, d_cells: tf.Tensor) -> tuple[tf.Tensor, ...]:
        transposed = tf.transpose(recurrent_kernel)
        previous_cells = _read(tf.concat([cell[None], cells[:-1]], axis=0))
        d_hidden_steps, d_cell_steps = _read(d_hiddens), _read(d_cells)

        def step(t: tf.Tensor, d_hidden: tf.Tensor, d_cell: tf.Tensor, saved_gradients) -> tuple:
            i, f, g, o, squashed = (array.read(t) for array in saved[2:])
            d_hidden += d_hidden_steps.read(t)
            d_cell += d_cell_steps.read(t) + d_hidden * o * (1 - squashed * squashed)
            d_gates = tf.concat(
                [
                    d_cell * g * i * (1 - i),
                    d_cell * previous_cells.read(t) * f * (1 - f),
                    d_cell * i * (1 - g * g),
                    d_hidden * squashed * o * (1 - o),
                ],
                axis=1,
            )
            d_hidden = tf.matmul(d_gates, transposed)
            return t - 1, d_hidden, d_cell * f, _write(saved_gradients, t, (d_gates,))

        zeros = tf.zeros_like(hidden)
        _, d_hidden, d_cell, (d_gates,) = tf.while_loop(
            lambda t, *_: t >= 0,
            step,
            (time - 1, zeros, zeros, _arrays(time, [4 * units])),
            maximum_iterations=time,
        )
        d_projected = d_gates.stack()
        return d_projected, _weight_gradient(hidden, hiddens, d_projected), d_hidden, d_cell

    return (hiddens, cells), gradient


def gru(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor,
    hidden: tf.Tensor,
) -> tf.Tensor:
    """Runs a gated recurrent unit over time, the reset gate applied after the product.

    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014,
    https://arxiv.org/abs/1406.1078v1.

    Args:
        projected: float32 `(time, batch, 3 * units)`. Inputs times kernel, plus bias; gates in
            the order update, reset, candidate.
        recurrent_kernel: float32 `(units, 3 * units)`.
        recurrent_bias: float32 `(3 * units,)`.
        hidden: float32 `(batch, units)`. Output of the step before the first.

    Returns:
        Outputs of all steps, float32 `(time, batch, units)`.
    """
    return _gru(projected, recurrent_kernel, recurrent_bias, hidden)


@tf.custom_gradient
def _gru(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor,
    hidden: tf.Tensor,
) -> tuple[tf.Tensor, Callable]:
    units = recurrent_kernel.shape[0]
    time = tf.shape(projected)[0]
    steps = _read(projected)

    def step(t: tf.Tensor, hidden: tf.Tensor, saved: tuple) -> tuple:
        x_gates, x_candidate = tf.split(steps.read(t), [2 * units, units], axis=1)
        products = tf.nn.bias_add(tf.matmul(hidden, recurrent_kernel), recurrent_bias)
        h_gates, h_candidate = tf.split(products, [2 * units, units], axis=1)
        z, r = tf.split(tf.sigmoid(x_gates + h_gates), 2, axis=1)
        candidate = tf.tanh(x_candidate + r * h_candidate)
        values = (hidden, z, r, candidate, h_candidate)
        hidden = candidate + z * (hidden - candidate)
        return t + 1, hidden, _write(saved, t, (hidden, *values))

    saved = _arrays(time, [units] * 6)
    *_, saved = tf.while_loop(lambda t, *_: t < time, step, (0, hidden, saved))
    hiddens = saved[0].stack()

    def gradient(d_hiddens: tf.Tensor) -> tuple[tf.Tensor, ...]:
        transposed = tf.transpose(recurrent_kernel)
        d_hidden_steps = _read(d_hiddens)

        def step(t: tf.Tensor, d_hidden: tf.Tensor, saved_gradients: tuple) -> tuple:
            previous, z, r, candidate, h_candidate = (array.read(t) for array in saved[1:])
            d_hidden += d_hidden_steps.read(t)
            d_candidate = d_hidden * (1 - z) * (1 - candidate * candidate)
            d_z = d_hidden * (previous - candidate) * z * (1 - z)
            d_r = d_candidate * h_candidate * r * (1 - r)
            d_products = tf.concat([d_z, d_r, d_candidate * r], axis=1)
            d_steps = tf.concat([d_z, d_r, d_candidate], axis=1)
            d_hidden = d_hidden * z + tf.matmul(d_products, transposed)
            return t - 1, d_hidden, _write(saved_gradients, t, (d_steps, d_products))

        _, d_hidden, arrays = tf.while_loop(
            lambda t, *_: t >= 0,
            step,
            (time - 1, tf.zeros_like(hidden), _arrays(time, [3 * units] * 2)),
        )
        d_projected, d_products = (array.stack() for array in arrays)
        d_kernel = _weight_gradient(hidden, hiddens, d_products)
        return d_projected, d_kernel, tf.reduce_sum(d_products, axis=(0, 1)), d_hidden

    return hiddens, gradient


def _weight_gradient(first: tf.Tensor, hiddens: tf.Tensor, d_gates: tf.Tensor) -> tf.Tensor:
    """Gradient of the recurrent kernel: one product over all steps and rows."""
    previous = tf.concat([first[None], hiddens[:-1]], axis=0)
    flat = tf.reshape(previous, (-1, previous.shape[2]))
    return tf.matmul(flat, tf.reshape(d_gates, (-1, d_gates.shape[2])), transpose_a=True)


def _read(values: tf.Tensor) -> tf.TensorArray:
    shape = values.shape[1:]
    array = tf.TensorArray(values.dtype, size=tf.shape(values)[0], element_shape=shape)
    return array.unstack(values)


def _arrays(time: tf.Tensor, widths: list[int]) -> tuple[tf.TensorArray, ...]:
    return tuple(
        tf.TensorArray(tf.float32, size=time, element_shape=(None, width), clear_after_read=False)
        for width in widths
    )


def _write(arrays: tuple, t: tf.Tensor, values: tuple) -> tuple[tf.TensorArray, ...]:
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=True))
