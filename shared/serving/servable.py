"""One loaded version of a model, as the server's interfaces ask it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from shared.export.warmup import FILE as WARMUP_FILE
from shared.export.warmup import replay_warmup
from shared.serving.batching import Batching, Function, call_alone
from shared.serving.status import ServingError, code_of

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Signature:
    """One function of a model.

    Args:
        definition: Its names, types and shapes, as metadata shows them.
        inputs: Types and shapes by name.
        function: From named tensors to named tensors.
    """

    definition: meta_graph_pb2.SignatureDef
    inputs: Mapping[str, tf.TensorSpec]
    function: Function

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """NumPy's type of each input; `object` for strings."""
        return {name: np.dtype(spec.dtype.as_numpy_dtype) for name, spec in self.inputs.items()}


class Servable:
    """A SavedModel that answers requests from many threads.

    Args:
        name: The model's name.
        folder: The version's folder; its name is the version.
        batching: Joins the requests of many clients, if given.

    Raises:
        Exception: Whatever TensorFlow says of a damaged model, or of a warm-up request that fails.
    """

    def __init__(self, name: str, folder: Path, batching: Batching | None = None) -> None:
        self.name = name
        self.version = int(folder.name)
        self._model = tf.saved_model.load(str(folder))
        definitions = _read_definitions(folder)
        self.signatures = {
            key: Signature(
                definitions[key],
                function.structured_input_signature[1],
                batching.wrap(function) if batching else call_alone(function),
            )
            for key, function in self._model.signatures.items()
        }
        if (folder / WARMUP_FILE).exists():
            replay_warmup(folder, self)

    def signature(self, key: str) -> Signature:
        """The function of that name, by default `serving_default`.

        Raises:
            ServingError: There is none.
        """
        key = key or DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise ServingError(
                StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
            )
        return self.signatures[key]

    def predict(self, signature: str = DEFAULT_SIGNATURE, **inputs: Any) -> dict[str, np.ndarray]:
        """`answer`, as every `Model` has it."""
        return self.answer(signature, inputs)

    def answer(
        self, signature: str, inputs: Mapping[str, np.ndarray], wanted: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answers one batch.

        Args:
            signature: Which function to ask; "" for `serving_default`.
            inputs: Arrays by name.
            wanted: Outputs to give; none gives all.

        Raises:
            ServingError: The inputs do not fit, or the model failed.
        """
        found = self.signature(signature)
        tensors = _check(inputs, found.inputs)
        try:
            outputs = found.function(**tensors)
            arrays = {name: value.numpy() for name, value in outputs.items()}
        except tf.errors.OpError as error:
            raise ServingError(code_of(error.error_code), _reason(str(error.message))) from error
        for name in wanted:
            if name not in arrays:
                raise _invalid(f"output tensor alias not found in signature: {name}")
        return {name: arrays[name] for name in wanted or sorted(arrays)}


def _check(
    inputs: Mapping[str, np.ndarray], specs: Mapping[str, tf.TensorSpec]
) -> dict[str, tf.Tensor]:
    extra, missing = sorted(set(inputs) - set(specs)), sorted(set(specs) - set(inputs))
    if extra or missing:
        raise _invalid(
            f"input size does not match signature: {len(inputs)}!={len(specs)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(specs))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
        )
    for name, spec in specs.items():
        value = inputs[name]
        if not spec.shape.is_compatible_with(value.shape):
            raise _invalid(f"input {name}: expected the shape {spec.shape}, got {value.shape}")
        if np.dtype(spec.dtype.as_numpy_dtype) != value.dtype:
            raise _invalid(f"input {name}: expected {spec.dtype.name}, got {value.dtype.name}")
    return {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}


def _reason(message: str) -> str:
    """What a kernel said, without where in the graph it stands."""
    _, _, said = message.rpartition("<stack traces unavailable>\n")
    return said.partition("\n\t [[")[0].strip()


def _read_definitions(folder: Path) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].signature_def


def _invalid(message: str) -> ServingError:
    return ServingError(StatusCode.INVALID_ARGUMENT, message)
