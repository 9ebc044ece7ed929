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
from shared.layers.sequence_packing import pack_sequences


class _Recurrent(keras.Layer):
    """What LSTM and GRU share: directions, masks, states and the projection of the inputs."""

    num_gates: int
    num_states: int

    def __init__(
        self,
        units: int,
        bidirectional: bool = False,
        return_state: bool = False,
        recurrent_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units}.")
        self.units = units
        self.bidirectional = bidirectional
        self.return_state = return_state
        self.recurrent_dropout = recurrent_dropout
        self.weight_dropout = keras.layers.Dropout(recurrent_dropout, dtype="float32")
        self.supports_masking = True
        self.supports_jit = False  # The number of packed steps is known only when the graph runs.
        # Two directions keep two cores busy; one does with several products.
        self.products = 1 if bidirectional else self.num_gates

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
            training: Whether `recurrent_dropout` acts.

        Returns:
            Outputs `(batch, time, units)`, or `(batch, time, 2 * units)` with the forward
            direction first; zeros where the mask is False. With `return_state` a tuple of the
            outputs and the states `(batch, units)` after each row's last step.
        """
        inputs = tf.cast(inputs, tf.float32)
        batch, time = tf.unstack(tf.shape(inputs)[:2])
        if mask is None:
            lengths = tf.fill([batch], time)
        else:
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        packing = pack_sequences(lengths)
        states = self._initial_states(initial_state, batch)
        states = [tf.gather(state, packing.order) for state in states]
        outputs, last = [], []
        for weights, index in zip(
            self.directions, (packing.forward, packing.backward), strict=False
        ):
            first, states = states[: self.num_states], states[self.num_states :]
            kernel, recurrent_kernel, bias = map(tf.convert_to_tensor, weights)
            recurrent_kernel = self.weight_dropout(recurrent_kernel, training=training)
            weights = (kernel, recurrent_kernel, bias)
            steps = self._run(weights, tf.gather_nd(inputs, index), first, packing.counts)
            outputs.append(tf.scatter_nd(index, steps[0], (batch, time, self.units)))
            last += [
                tf.gather(tf.concat(pair, axis=0), packing.last)
                for pair in zip(first, steps, strict=True)
            ]
        result = tf.cast(tf.concat(outputs, axis=2), self.compute_dtype)
        if not self.return_state:
            return result
        return result, *(tf.cast(state, self.compute_dtype) for state in last)

    def step(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Goes one step forward, for a sequence that is made while it is read.

        Args:
            inputs: `(batch, features)`.
            states: float32 `(batch, units)` each, those of the forward direction; zeros at first.

        Returns:
            The next states, float32, the output first.
        """
        weights = tuple(map(tf.convert_to_tensor, self.directions[0]))
        return self._run(weights, tf.cast(inputs, tf.float32), states, tf.shape(inputs)[:1])

    @abstractmethod
    def _add_weights(self, prefix: str, features: int) -> tuple[keras.Variable, ...]:
        """Adds kernel, recurrent kernel and bias of one direction."""

    @abstractmethod
    def _run(
        self,
        weights: tuple[tf.Tensor, ...],
        inputs: tf.Tensor,
        states: Sequence[tf.Tensor],
        counts: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Runs one direction over packed inputs `(steps, features)`.

        Returns:
            The states after all steps, each `(steps, units)`, the output first.
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
        batch, time = input_shape[:2]
        directions = 2 if self.bidirectional else 1
        outputs = (batch, time, directions * self.units)
        if not self.return_state:
            return outputs
        return outputs, *[(batch, self.units)] * (directions * self.num_states)

    def get_config(self) -> dict[str, Any]:
        names = ("units", "bidirectional", "return_state", "recurrent_dropout")
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
        return_state: Whether to return the states after each row's last step, too.
        recurrent_dropout: float. Share of the recurrent weights that are zero in a training step,
            the same ones at all of its times (Merity et al., https://arxiv.org/abs/1708.02182).

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
        weights: tuple[tf.Tensor, ...],
        inputs: tf.Tensor,
        states: Sequence[tf.Tensor],
        counts: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        kernel, recurrent_kernel, bias = weights
        projected = tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
        hidden, cell = states
        return recurrent_kernels.lstm(
            projected, recurrent_kernel, hidden, cell, counts, self.products
        )


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
        return_state: Whether to return the state after each row's last step, too.
        recurrent_dropout: float. Share of the recurrent weights that are zero in a training step,
            the same ones at all of its times (Merity et al., https://arxiv.org/abs/1708.02182).

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
        weights: tuple[tf.Tensor, ...],
        inputs: tf.Tensor,
        states: Sequence[tf.Tensor],
        counts: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        kernel, recurrent_kernel, bias = weights
        projected = tf.nn.bias_add(tf.matmul(inputs, kernel), bias[0])
        [hidden] = states
        outputs = recurrent_kernels.gru(
            projected, recurrent_kernel, bias[1], hidden, counts, self.products
        )
        return (outputs,)


def _forget_bias(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """One for the forget gate, so that a new layer remembers; Jozefowicz et al., 2015."""
    gates = tf.constant([0.0, 1.0, 0.0, 0.0], dtype or "float32")
    return tf.repeat(gates, shape[0] // 4)
