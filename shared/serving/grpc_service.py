"""TensorFlow Serving's gRPC interface."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import grpc
import numpy as np
from grpc import StatusCode
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

from shared.serving.examples import classify, regress
from shared.serving.metrics import ServingMetrics
from shared.serving.model_manager import ModelManager
from shared.serving.rest import Limits
from shared.serving.servable import Servable
from shared.serving.status import ServingError
from shared.serving.tensor_proto import read_tensor_proto, write_tensor_proto

Answer = TypeVar("Answer")
SIGNATURE_DEF = "signature_def"
_MOST_ELEMENTS = 2**26


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress and GetModelMetadata; MultiInference is left unimplemented.

    Args:
        models: What is loaded.
        metrics: Where requests are counted.
        limits: What is refused.
    """

    def __init__(self, models: ModelManager, metrics: ServingMetrics, limits: Limits) -> None:
        self._models, self._metrics, self._limits = models, metrics, limits

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        def answer() -> predict_pb2.PredictResponse:
            servable = self._models.find(request.model_spec)
            inputs = {name: _read(name, value) for name, value in request.inputs.items()}
            _check_size(inputs, self._limits.batch_size)
            signature = request.model_spec.signature_name
            outputs = servable.answer(signature, inputs, request.output_filter)
            response = predict_pb2.PredictResponse(model_spec=_answered_by(servable, request))
            for name, value in outputs.items():
                write_tensor_proto(value, response.outputs[name])
            return response

        return self._count("Predict", request, context, answer)

    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        def answer() -> classification_pb2.ClassificationResponse:
            servable = self._models.find(request.model_spec)
            return classification_pb2.ClassificationResponse(
                result=classify(servable, request.model_spec.signature_name, request.input),
                model_spec=_answered_by(servable, request),
            )

        return self._count("Classify", request, context, answer)

    def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        def answer() -> regression_pb2.RegressionResponse:
            servable = self._models.find(request.model_spec)
            return regression_pb2.RegressionResponse(
                result=regress(servable, request.model_spec.signature_name, request.input),
                model_spec=_answered_by(servable, request),
            )

        return self._count("Regress", request, context, answer)

    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        def answer() -> get_model_metadata_pb2.GetModelMetadataResponse:
            if list(request.metadata_field) != [SIGNATURE_DEF]:
                raise ServingError(
                    StatusCode.INVALID_ARGUMENT,
                    f"Metadata field {', '.join(request.metadata_field) or '(none)'} is not "
                    f"supported; expected {SIGNATURE_DEF}",
                )
            servable = self._models.find(request.model_spec)
            definitions = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                definitions.signature_def[name].CopyFrom(signature.definition)
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=_answered_by(servable, request)
            )
            response.metadata[SIGNATURE_DEF].Pack(definitions)
            return response

        return self._count("GetModelMetadata", request, context, answer)

    def _count(
        self, api: str, request: Any, context: grpc.ServicerContext, work: Callable[[], Answer]
    ) -> Answer:
        start, code = time.perf_counter(), StatusCode.OK
        try:
            return work()
        except ServingError as error:
            code = error.code
            context.abort(error.code, error.message)
            raise  # `abort` has raised already; type checkers do not know it.
        except Exception:
            code = StatusCode.UNKNOWN
            raise
        finally:
            name = request.model_spec.name
            known = name if name in self._models.names() else ""
            self._metrics.count(known, api, "GRPC", code.name, time.perf_counter() - start)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; HandleReloadConfigRequest is left unimplemented.

    Args:
        models: What is loaded.
    """

    def __init__(self, models: ModelManager) -> None:
        self._models = models

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        try:
            found = self._models.status(request.model_spec)
        except ServingError as error:
            context.abort(error.code, error.message)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=found)


def build_grpc_server(
    models: ModelManager,
    metrics: ServingMetrics,
    limits: Limits,
    threads: Executor,
    most_at_once: int,
) -> grpc.Server:
    """A server with both services that is yet to be bound and started.

    Args:
        models: What is loaded.
        metrics: Where requests are counted.
        limits: What is refused.
        threads: Where requests are answered.
        most_at_once: Requests that are answered and wait at a time; those beyond are refused.
    """
    options = [
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # A second server on one port is refused, not half used.
    ]
    server = grpc.server(threads, options=options, maximum_concurrent_rpcs=most_at_once)
    prediction = PredictionService(models, metrics, limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    return server


def _read(name: str, value: tensor_pb2.TensorProto) -> np.ndarray:
    # A few bytes can claim a tensor of any size, all of one value.
    elements = math.prod(dim.size for dim in value.tensor_shape.dim)
    try:
        if not 0 <= elements <= _MOST_ELEMENTS:
            raise ValueError(f"expected at most {_MOST_ELEMENTS} elements, got {elements}")
        return read_tensor_proto(value)
    except (TypeError, ValueError) as error:
        raise ServingError(
            StatusCode.INVALID_ARGUMENT, f"input {name}: no tensor: {error}"
        ) from None


def _check_size(inputs: dict[str, np.ndarray], most: int) -> None:
    rows = max((len(value) for value in inputs.values() if value.ndim), default=0)
    if rows > most:
        raise ServingError(
            StatusCode.INVALID_ARGUMENT, f"The batch has {rows} rows; expected at most {most}"
        )


def _answered_by(servable: Servable, request: Any) -> ModelSpec:
    spec = ModelSpec(name=servable.name, signature_name=request.model_spec.signature_name)
    spec.version.value = servable.version
    return spec
