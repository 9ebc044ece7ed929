"""Learning rates of their own for groups of layers, as fine-tuning a pretrained network wants."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class LayerRates:
    """Discriminative learning rates and gradual unfreezing.

    Howard and Ruder, "Universal language model fine-tuning for text classification", 2018,
    https://aclanthology.org/P18-1031, sections 3.2 and 3.3.

    Args:
        groups: Names of layers, in groups from the output down. Layers that no group names belong
            to the first one.
        decay: float. The learning rate of each group relative to the group above it.
        unfreeze_fraction: float. Share of all steps after which the last group is trained; the
            others begin at equal distances before it, the first one at once.
    """

    groups: Sequence[Sequence[str]]
    decay: float
    unfreeze_fraction: float

    def factor(
        self, variable: keras.Variable, step: keras.KerasTensor, total_steps: int
    ) -> keras.KerasTensor:
        """What the learning rate of a variable is multiplied by at a step; 0 while frozen."""
        group = self._group(variable)
        begin = self.unfreeze_fraction * total_steps * group / max(len(self.groups) - 1, 1)
        return self.decay**group * ops.cast(ops.cast(step, "float32") >= begin, "float32")

    def _group(self, variable: keras.Variable) -> int:
        layers = variable.path.split("/")
        places = (i for i, group in enumerate(self.groups) if not set(group).isdisjoint(layers))
        return next(places, 0)


def with_layer_rates(
    optimizer: type[keras.Optimizer], rates: LayerRates, total_steps: int
) -> type[keras.Optimizer]:
    """The same optimizer, whose learning rate is multiplied by `rates` for each variable.

    Weight decay follows that rate, as a frozen layer must not shrink; it is `weight_decay` for all
    variables.
    """

    class Discriminative(optimizer):
        def update_step(
            self,
            gradient: keras.KerasTensor,
            variable: keras.Variable,
            learning_rate: keras.KerasTensor,
        ) -> None:
            # TensorFlow's own variable arrives here, which does not know its layer.
            known = self._trainable_variables[self._get_variable_index(variable)]
            factor = rates.factor(known, self.iterations, total_steps)
            rate = learning_rate * ops.cast(factor, learning_rate.dtype)
            if self.weight_decay and self._use_weight_decay(known):
                self.assign_sub(variable, variable * self.weight_decay * rate)
            super().update_step(gradient, variable, rate)

        def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
            """Left to `update_step`, as all variables have one learning rate here."""

    return Discriminative
