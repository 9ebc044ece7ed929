"""Signature functions as the server calls them: for one request, or for those of many clients as
one batch, by TensorFlow's own batch scheduler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import tensorflow as tf

from shared.serving.config_files import BatchingParameters, read_config

Function = Callable[..., Mapping[str, tf.Tensor]]
Tensors = Sequence[tf.Tensor]
Dtypes = Sequence[tf.DType]
_FIELDS = {
    "max_batch_size": "max_batch_size",
    "timeout_micros": "batch_timeout_micros",
    "threads": "num_batch_threads",
    "max_enqueued_batches": "max_enqueued_batches",
}


@dataclass(frozen=True)
class Batching:
    """How requests are joined; the defaults are those of TensorFlow Serving.

    Args:
        max_batch_size: Most rows of a joined batch; larger requests are refused.
        timeout_micros: Longest wait for further requests, in microseconds.
        threads: Batches that are computed side by side.
        max_enqueued_batches: Batches that may wait; requests beyond them are refused.
        allowed_batch_sizes: Sizes that a batch is filled up to, increasing, the last being the
            largest; none lets every size be.
    """

    max_batch_size: int = 1000
    timeout_micros: int = 0
    threads: int = 4
    max_enqueued_batches: int = 10
    allowed_batch_sizes: tuple[int, ...] = ()

    def wrap(self, function: Any) -> Function:
        """The signature function `function`, with the calls of many threads joined.

        Tensors of one input are joined along their first dimension and must agree in the others.
        """
        settings = {
            "num_batch_threads": self.threads,
            "max_batch_size": self.max_batch_size,
            "batch_timeout_micros": self.timeout_micros,
            "allowed_batch_sizes": list(self.allowed_batch_sizes),
            "max_enqueued_batches": self.max_enqueued_batches,
            # Queues of one name are one, whichever functions they were made for.
            "shared_name": uuid4().hex,
        }

        def join(tensors: Tensors, computed: Any, captured: Tensors, dtypes: Dtypes) -> Tensors:
            return tf.raw_ops.BatchFunction(
                f=computed, in_tensors=tensors, captured_tensors=captured, Tout=dtypes, **settings
            )

        return _bind(function, join)


def call_alone(function: Any) -> Function:
    """The signature function `function`, for one request at a time.

    It leaves out what Python does for a call of `function` itself, in which a small model would
    have answered: to bind the arguments and to check their types.
    """

    def call(tensors: Tensors, computed: Any, captured: Tensors, dtypes: Dtypes) -> Tensors:
        return tf.raw_ops.StatefulPartitionedCall(
            f=computed, args=[*tensors, *captured], Tout=dtypes
        )

    return _bind(function, call)


def _bind(function: Any, run: Callable[[Tensors, Any, Tensors, Dtypes], Tensors]) -> Function:
    """The signature function `function`, run by an op that knows tensors by their order alone."""
    specs = function.structured_input_signature[1]
    names, outputs = sorted(specs), sorted(function.structured_outputs)
    signature = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name) for name in names]

    @tf.function(input_signature=signature, autograph=False)
    def compute(*tensors: tf.Tensor) -> list[tf.Tensor]:
        answers = function(**dict(zip(names, tensors, strict=True)))
        return [answers[name] for name in outputs]

    computed = compute.get_concrete_function()
    captured = list(computed.captured_inputs)
    dtypes = [tensor.dtype for tensor in computed.outputs]

    def answer(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        values = run([inputs[name] for name in names], computed, captured, dtypes)
        return dict(zip(outputs, values, strict=True))

    return answer


def read_batching(file: Path) -> Batching:
    """Reads `batching.config`, as `--batching_parameters_file` takes it.

    Raises:
        ConfigFileError: The file is missing or not of that form.
    """
    found = read_config(file, BatchingParameters)
    given = {
        name: getattr(found, field).value
        for name, field in _FIELDS.items()
        if found.HasField(field)
    }
    return Batching(**given, allowed_batch_sizes=tuple(found.allowed_batch_sizes))
