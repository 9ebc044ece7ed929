"""Muon for convolutional networks."""

import math
from typing import Any

import keras
from keras import ops

SMALLEST_FAN_IN = 32


@keras.saving.register_keras_serializable("quartet")
class Muon(keras.optimizers.Muon):
    """Muon whose orthogonalised update covers convolution kernels as well as matrices.

    Keras' `Muon` leaves every variable that is no matrix to AdamW, which is all of a convolutional
    network but its last layer. Here a kernel `(height, width, inputs, outputs)` is the matrix
    `(height * width * inputs, outputs)`, as in the original implementation. Kernels with a fan-in
    below 32, where orthogonal columns may not exist, stay with AdamW.
    Jordan et al., https://kellerjordan.github.io/posts/muon; Liu et al.,
    https://arxiv.org/abs/2502.16982 for the scale of the update.

    Args:
        **kwargs: Those of `keras.optimizers.Muon`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        if len(variable.shape) > 2:
            return math.prod(variable.shape[:-1]) < SMALLEST_FAN_IN
        return super()._should_use_adamw(variable)

    def _muon_update_step(
        self,
        gradient: keras.KerasTensor,
        variable: keras.Variable,
        lr: keras.KerasTensor,
        m: keras.Variable,
    ) -> None:
        self.assign_add(m, gradient + m * (self.momentum - 1))
        direction = gradient + self.momentum * m if self.nesterov else m
        rows, columns = math.prod(variable.shape[:-1]), variable.shape[-1]
        matrix = ops.reshape(direction, (rows, columns))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))
