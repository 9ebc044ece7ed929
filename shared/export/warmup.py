"""Warm-up requests: real samples that TensorFlow Serving replays before it serves a version."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from shared.serving.client import Model

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
Request = tuple[str, Mapping[str, Any]]


def write_warmup(folder: Path, app: str, requests: Sequence[Request]) -> None:
    """Writes the requests as a TFRecord of `PredictionLog`.

    TensorFlow Serving's saved_model_warmup.md: at most 1,000 records; one that fails, fails the
    version.

    Args:
        folder: The model's folder.
        app: Name under which the model is served.
        requests: Signature name and inputs by name, each with the batch as first dimension.
    """
    (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, inputs in requests:
            writer.write(_prediction_log(app, signature, inputs).SerializeToString())


def replay_warmup(folder: Path, model: Model) -> int:
    """Answers every warm-up request of an exported model, as TensorFlow Serving does at load.

    Returns:
        The number of requests.
    """
    count = 0
    for record in tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        model.predict(request.model_spec.signature_name, **inputs)
        count += 1
    return count


def _prediction_log(
    app: str, signature: str, inputs: Mapping[str, Any]
) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = app
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(tf.convert_to_tensor(value).numpy()))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
