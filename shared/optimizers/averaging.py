"""The running average of the weights, put in the model's place for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Inside, the model has the averaged weights that its optimizer keeps; outside, its own.

    Does nothing for an optimizer that keeps no average. Polyak and Juditsky, 1992.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        yield
        return
    weights = model.get_weights()
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        model.set_weights(weights)
