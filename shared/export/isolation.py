"""A batch in which one bad row does not spoil the others."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def isolate_rows(
    function: Callable[[Any], Any], inputs: Any, outputs: Any
) -> tuple[Any, tf.Tensor]:
    """Applies a function that may raise to each row of a batch, and marks the rows that raised.

    A kernel that raises, as `tf.io.decode_jpeg` does on bad data, fails the whole call, and a graph
    has no `try`. A tf.data pipeline inside the graph can drop the elements that raise; the
    others carry their row number, from which the batch is put together again. Works eagerly and in
    an exported signature, from any number of threads.

    Args:
        function: maps one row of `inputs` to a structure like `outputs`.
        inputs: tensor `(batch, ...)`, or a tuple or dictionary of such tensors.
        outputs: `tf.TensorSpec` of static shape, or a structure of them: what `function` returns
            for one row. A row of another shape counts as one that raised.

    Returns:
        The results, a structure like `outputs` whose tensors have a leading `batch`, and `valid`,
        bool `(batch,)`. A row that raised is `False` there, and in the results zero, `""` or
        `False`.

    Raises:
        ValueError: if a spec in `outputs` has an unknown dimension.
    """
    for spec in tf.nest.flatten(outputs):
        if not spec.shape.is_fully_defined():
            raise ValueError(
                f"outputs must have static shapes, got {spec}. Give every row the same size in the "
                "function, for example by resizing or padding, and state it in the spec."
            )
    batch = tf.shape(tf.nest.flatten(inputs)[0], out_type=tf.int64)[0]

    def apply(row: tf.Tensor, values: Any) -> tuple[tf.Tensor, Any]:
        return row, tf.nest.map_structure(_conform, outputs, function(values))

    # A sentinel at the end: what the rows that raised get, and the only row where all of them did.
    zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), outputs)
    results = (
        tf.data.Dataset.from_tensor_slices((tf.range(batch), inputs))
        .map(apply, num_parallel_calls=tf.data.AUTOTUNE)
        .ignore_errors(log_warning=False)
        .concatenate(tf.data.Dataset.from_tensors((batch, zeros)))
    )
    rows, values = results.batch(batch + 1).get_single_element()
    sentinel = tf.size(rows, out_type=tf.int64) - 1
    positions = tf.tensor_scatter_nd_update(
        tf.fill([batch + 1], sentinel), rows[:, tf.newaxis], tf.range(sentinel + 1)
    )[:batch]
    batched = tf.nest.map_structure(lambda value: tf.gather(value, positions), values)
    return batched, positions < sentinel


def _conform(spec: tf.TensorSpec, value: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.convert_to_tensor(value, spec.dtype), spec.shape)
