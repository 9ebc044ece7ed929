"""LSTM and GRU that train fast on a CPU, in core TensorFlow ops that every server runs.

They equal `keras.layers.LSTM` and `keras.layers.GRU` with the same weights, and differ in what
Keras does not settle: outputs are zero behind the end of a row, and the graph is the same with
and without a GPU, never cuDNN's.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from shared.layers import recurrent_kernels


class _Recurrent(keras.Layer):
    """What LSTM and GRU share: directions, masks, states and the projection of the inputs."""

    num_gates: int
    num_states: int

    def __init__(
        self,
        units: int,
        bidirectional: bool = False,
        dropout: float = 0.0,
        return_state: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units}.")
        self.units = units
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.return_state = return_state
        self.input_dropout = keras.layers.Dropout(dropout)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = input_shape[-1]
        if len(input_shape) != 3 or features is None:
            raise ValueError(
                f"{type(self).__name__} needs inputs (batch, time, features) with a known number "
                f"of features, got shape {tuple(input_shape)}."
            )
        self.directions = [
            self._add_weights(prefix, features)
            for prefix in (("forward_", "backward_") if self.bidirectional else ("",))
        ]

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        initial_state: Sequence[tf.Tensor] | None = None,
        training: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, ...]:
        """Runs the layer.

        Args:
            inputs: `(batch, time, features)`.
            mask: bool `(batch, time)`, in each row True up to its length and False behind: only
                the number of True counts.
            initial_state: Tensors `(batch, units)` in the order of the returned states; zeros if
                not given.
            training: Whether dropout acts.

        Returns:
            Outputs `(batch, time, units)`, or `(batch, time, 2 * units)` with the forward
            direction first; zeros where the mask is False. With `return_state` a tuple of the
            outputs and the states `(batch, units)` after each row's last step.
        """
        inputs = tf.cast(self.input_dropout(inputs, training=training), tf.float32)
        batch, time = tf.unstack(tf.shape(inputs)[:2])
        if mask is None:
            lengths = tf.fill([batch], time)
        else:
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        states = self._initial_states(initial_state, batch)
        outputs, last = [], []
        for index, weights in enumerate(self.directions):
            first = states[index * self.num_states : (index + 1) * self.num_states]
            sequence = _turn(inputs, lengths) if index else inputs
            steps = self._run(weights, tf.transpose(sequence, (1, 0, 2)), first)
            output = tf.transpose(steps[0], (1, 0, 2))
            outputs.append(_turn(output, lengths) if index else output)
            last += [_last(*pair, lengths) for pair in zip(first, steps, strict=True)]
        result = tf.concat(outputs, axis=2)
        if mask is not None:
            result *= tf.cast(mask, tf.float32)[:, :, None]
        result = tf.cast(result, self.compute_dtype)
        if not self.return_state:
            return result
        return result, *(tf.cast(state, self.compute_dtype) for state in last)

    @abstractmethod
    def _add_weights(self, prefix: str, features: int) -> tuple[keras.Variable, ...]:
        """Adds kernel, recurrent kernel and bias of one direction."""

    @abstractmethod
    def _run(
        self,
        weights: tuple[keras.Variable, ...],
        sequence: tf.Tensor,
        states: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, ...]:
        """Runs one direction over a sequence `(time, batch, features)`.

        Returns:
            The states of all steps, each `(time, batch, units)`, the output first.
        """

    def _add_kernels(self, prefix: str, features: int) -> tuple[keras.Variable, keras.Variable]:
        width = self.num_gates * self.units
        kernel = self.add_weight(
            name=f"{prefix}kernel",
            shape=(features, width),
            initializer="glorot_uniform",
            autocast=False,
        )
        recurrent_kernel = self.add_weight(
            name=f"{prefix}recurrent_kernel",
            shape=(self.units, width),
            initializer="orthogonal",
            autocast=False,
        )
        return kernel, recurrent_kernel

    def _initial_states(
        self, initial_state: Sequence[tf.Tensor] | None, batch: tf.Tensor
    ) -> list[tf.Tensor]:
        number = self.num_states * len(self.directions)
        if initial_state is None:
            return [tf.zeros((batch, self.units))] * number
        if len(initial_state) != number:
            raise ValueError(
                f"initial_state must have {number} tensors (batch, {self.units}), "
                f"got {len(initial_state)}."
            )
        return [tf.cast(state, tf.float32) for state in initial_state]

    def compute_output_shape(self, input_shape: tuple[int | None, ...], **_: Any) -> Any:
        batch, time, _ = input_shape
        directions = 2 if self.bidirectional else 1
        outputs = (batch, time, directions * self.units)
        if not self.return_state:
            return outputs
        return outputs, *[(batch, self.units)] * (directions * self.num_states)

    def get_config(self) -> dict[str, Any]:
        names = ("units", "bidirectional", "dropout", "return_state")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("quartet")
class LSTM(_Recurrent):
    """Long short-term memory over right-padded rows, equal to `keras.layers.LSTM`.

    Weights are named, shaped and ordered as in Keras: `kernel (features, 4 * units)`,
    `recurrent_kernel (units, 4 * units)` and `bias (4 * units,)` with gates in the order input,
    forget, cell, output; the forward direction's three before the backward's. States are the
    output and the cell state.

    Args:
        units: int. Width of the state, per direction.
        bidirectional: Whether to run a second set of weights from each row's end to its start.
        dropout: Fraction of the inputs set to zero in training.
        return_state: Whether to return the states after each row's last step, too.

    Raises:
        ValueError: If `units` is below 1, inputs are not `(batch, time, features)` or the initial
            states are not as many as the layer's states.
    """

    num_gates = 4
    num_states = 2

    def _add_weights(self, prefix: str, features: int) -> tuple[keras.Variable, ...]:
        kernels = self._add_kernels(prefix, features)
        bias = self.add_weight(
            name=f"{prefix}bias",
            shape=(4 * self.units,),
            initializer=_forget_bias,
            autocast=False,
        )
        return *kernels, bias

    def _run(
        self,
        weights: tuple[keras.Variable, ...],
        sequence: tf.Tensor,
        states: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, ...]:
        kernel, recurrent_kernel, bias = (tf.convert_to_tensor(weight) for weight in weights)
        return recurrent_kernels.lstm(_project(sequence, kernel, bias), recurrent_kernel, *states)


@keras.saving.register_keras_serializable("quartet")
class GRU(_Recurrent):
    """Gated recurrent unit over right-padded rows, equal to `keras.layers.GRU`.

    Weights are named, shaped and ordered as in Keras with `reset_after=True`: `kernel
    (features, 3 * units)`, `recurrent_kernel (units, 3 * units)` and `bias (2, 3 * units)`, for
    inputs and state, with gates in the order update, reset, candidate; the forward direction's
    three before the backward's. The state is the output.

    Args:
        units: int. Width of the state, per direction.
        bidirectional: Whether to run a second set of weights from each row's end to its start.
        dropout: Fraction of the inputs set to zero in training.
        return_state: Whether to return the state after each row's last step, too.

    Raises:
        ValueError: If `units` is below 1, inputs are not `(batch, time, features)` or the initial
            states are not as many as the layer's states.
    """

    num_gates = 3
    num_states = 1

    def _add_weights(self, prefix: str, features: int) -> tuple[keras.Variable, ...]:
        kernels = self._add_kernels(prefix, features)
        shape = (2, 3 * self.units)
        bias = self.add_weight(
            name=f"{prefix}bias", shape=shape, initializer="zeros", autocast=False
        )
        return *kernels, bias

    def _run(
        self,
        weights: tuple[keras.Variable, ...],
        sequence: tf.Tensor,
        states: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, ...]:
        kernel, recurrent_kernel, bias = (tf.convert_to_tensor(weight) for weight in weights)
        projected = _project(sequence, kernel, bias[0])
        return (recurrent_kernels.gru(projected, recurrent_kernel, bias[1], *states),)


def _forget_bias(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """One for the forget gate, so that a new layer remembers; Jozefowicz et al., 2015."""
    gates = tf.constant([0.0, 1.0, 0.0, 0.0], dtype or "float32")
    return tf.repeat(gates, shape[0] // 4)


def _project(sequence: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Inputs of all gates at all steps `(time, batch, gates * units)`, as one product."""
    time, batch = tf.unstack(tf.shape(sequence)[:2])
    flat = tf.reshape(sequence, (-1, kernel.shape[0]))
    projected = tf.nn.bias_add(tf.matmul(flat, kernel), bias)
    return tf.reshape(projected, (time, batch, kernel.shape[1]))


def _turn(sequence: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Reverses each row within its length: padding stays at the end."""
    return tf.reverse_sequence(sequence, lengths, seq_axis=1, batch_axis=0)


def _last(first: tf.Tensor, steps: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """The state after each row's last step, the first state for a row without steps."""
    states = tf.concat([first[None], steps], axis=0)
    rows = tf.range(tf.shape(lengths)[0])
    return tf.gather_nd(states, tf.stack([lengths, rows], axis=1))
