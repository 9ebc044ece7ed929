"""Asking a model behind TensorFlow Serving's gRPC interface."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from shared.serving.client import ServerError, pause_seconds, wait_until_ready
from shared.serving.tensor_proto import read_tensor_proto, write_tensor_proto

_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_State = get_model_status_pb2.ModelVersionStatus
Answer = TypeVar("Answer")


class GrpcModel:
    """A model behind the gRPC interface of TensorFlow Serving.

    Args:
        address: Such as `localhost:8500`.
        name: The model's name on the server.
        timeout_seconds: Longest wait for one answer.
        retries: How often a server that has too much to do is asked again, each time after twice
            the pause.
    """

    def __init__(
        self, address: str, name: str, timeout_seconds: float = 60.0, retries: int = 3
    ) -> None:
        # Answers of many rows are larger than the 4 MB that a client takes by default.
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._address, self._name = address, name
        self._timeout_seconds, self._retries = timeout_seconds, retries

    def predict(self, signature: str = "serving_default", **inputs: Any) -> dict[str, np.ndarray]:
        """Answers one batch.

        Args:
            signature: Which function to ask.
            **inputs: Its inputs by name; lists of decimals are sent as float32, of whole numbers as
                int32.

        Returns:
            Arrays by output name; strings are bytes objects.

        Raises:
            ServerError: No answer, or an error; holds the server's message.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            write_tensor_proto(np.asarray(tf.convert_to_tensor(value)), request.inputs[name])
        outputs = self._call(self._prediction.Predict, request, self._retries).outputs
        return {name: read_tensor_proto(value) for name, value in outputs.items()}

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until the server is there and a version of the model is loaded.

        Raises:
            ServerError: That did not happen in time; holds what the server said last.
        """
        wait_until_ready(self._is_ready, seconds)

    def _is_ready(self) -> bool:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._name
        found = self._call(self._models.GetModelStatus, request, 0).model_version_status
        return any(version.state == _State.AVAILABLE for version in found)

    def _call(self, method: Callable[..., Answer], request: Any, retries: int) -> Answer:
        for attempt in range(retries + 1):
            try:
                return method(request, timeout=self._timeout_seconds)
            except grpc.RpcError as error:
                if error.code() not in _BUSY or attempt == retries:
                    raise ServerError(
                        f"{self._address}, {self._name}: {error.code().name}: {error.details()}"
                    ) from error
                time.sleep(pause_seconds(attempt))
        raise AssertionError("the last attempt returns or raises")
