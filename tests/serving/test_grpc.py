"""What TensorFlow Serving's gRPC interface answers, of any server that speaks it."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

ROW = np.array([[1.0, 2.0, 3.0]], np.float32)
Status = get_model_status_pb2.ModelVersionStatus


def predict_request(name: str = "scale", **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def with_spec(request: Any, version: int = 0, label: str = "", signature: str = "") -> Any:
    if version:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    request.model_spec.signature_name = signature
    return request


def examples(*values: float) -> input_pb2.Input:
    made = input_pb2.Input()
    for value in values:
        example = made.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return made


def refusal(call: Callable[[Any], Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code(), caught.value.details()


def test_predict(prediction) -> None:
    response = prediction.Predict(with_spec(predict_request(x=ROW), label="canary"))
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), 2 * ROW)
    assert (response.model_spec.name, response.model_spec.version.value) == ("scale", 2)


def test_strings_and_several_inputs(prediction) -> None:
    request = predict_request(
        "join",
        text=[b"a", b"\xff"],
        times=np.array([1, 2], np.int32),
        loud=np.array([False, False]),
    )
    outputs = prediction.Predict(request).outputs
    assert tf.make_ndarray(outputs["joined"]).tolist() == [b"a*1", b"\xff*2"]
    assert set(outputs) == {"joined", "joined_bytes", "half"}


def test_an_output_filter(prediction) -> None:
    request = with_spec(predict_request(x=ROW), signature="total")
    request.output_filter.append("rows")
    assert set(prediction.Predict(request).outputs) == {"rows"}


REFUSED: dict[str, tuple[Callable[[], Any], grpc.StatusCode, str]] = {
    "no such model": (
        lambda: predict_request("none", x=ROW),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(none)",
    ),
    "no such signature": (
        lambda: with_spec(predict_request(x=ROW), signature="none"),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "none" not found.',
    ),
    "another input": (
        lambda: predict_request(z=ROW),
        grpc.StatusCode.INVALID_ARGUMENT,
        "input size does not match signature",
    ),
    "another type": (
        lambda: predict_request(x=ROW.astype(np.int32)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "",
    ),
    "another shape": (lambda: predict_request(x=ROW[0]), grpc.StatusCode.INVALID_ARGUMENT, ""),
    "what the model refuses": (
        lambda: predict_request(x=np.nan * ROW),
        grpc.StatusCode.INVALID_ARGUMENT,
        "finite",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(prediction, name: str) -> None:
    make, code, message = REFUSED[name]
    found, details = refusal(prediction.Predict, make())
    assert found == code and message in details


def test_an_output_that_is_not_there(prediction) -> None:
    request = predict_request(x=ROW)
    request.output_filter.append("none")
    code, details = refusal(prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "none" in details


def test_classify_and_regress(prediction) -> None:
    request = classification_pb2.ClassificationRequest(input=examples(0.25))
    request.model_spec.name = "examples"
    [row] = prediction.Classify(request).result.classifications
    assert [(c.label, c.score) for c in row.classes] == [("low", 0.75), ("high", 0.25)]
    request = regression_pb2.RegressionRequest(input=examples(0.5, 1.5))
    request.model_spec.name, request.model_spec.signature_name = "examples", "regress"
    found = prediction.Regress(request).result.regressions
    assert [regression.value for regression in found] == [5.0, 15.0]


def test_metadata(prediction) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "scale"
    response = prediction.GetModelMetadata(request)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert found.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum
    request.metadata_field.append("other")
    assert refusal(prediction.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_status(model_service) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "scale"
    found = model_service.GetModelStatus(request).model_version_status
    assert [(s.version, s.state) for s in found] == [(2, Status.AVAILABLE), (1, Status.AVAILABLE)]
    request.model_spec.name = "none"
    assert refusal(model_service.GetModelStatus, request)[0] == grpc.StatusCode.NOT_FOUND


def test_what_is_left_out_is_unimplemented(server, prediction, model_service) -> None:
    if server.process is None:
        pytest.skip("a TensorFlow Serving has these")
    reload = model_management_pb2.ReloadConfigRequest()
    found = refusal(model_service.HandleReloadConfigRequest, reload)
    assert found[0] == grpc.StatusCode.UNIMPLEMENTED
    several = inference_pb2.MultiInferenceRequest()
    assert refusal(prediction.MultiInference, several)[0] == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("content", [b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_message(channel, content: bytes) -> None:
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError):
        call(content)


def test_a_tensor_that_claims_more_than_it_holds(prediction) -> None:
    request = predict_request(x=ROW)
    request.inputs["x"].tensor_shape.dim[0].size = 2**40
    assert refusal(prediction.Predict, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
