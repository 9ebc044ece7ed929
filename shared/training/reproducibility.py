"""Equal seeds give equal runs."""

import keras
import tensorflow as tf

from shared.training.config import RunConfig


def prepare_process(config: RunConfig) -> None:
    """Seeds every source of chance and sets the number format.

    Two runs on CPU with one seed then end in equal weights. On a GPU deterministic kernels are
    asked for, unless `training.xla` is on: Keras does not compile them with XLA. Python's, NumPy's
    and TensorFlow's global generators only make initial weights; everything later draws from
    generators whose state is in the checkpoint.
    """
    keras.utils.set_random_seed(config.seed)
    if tf.config.list_physical_devices("GPU") and not config.training.xla:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.training.precision)
