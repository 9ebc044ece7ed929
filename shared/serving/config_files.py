"""TensorFlow Serving's configuration files, in the text form of its protocol buffers.

The package tensorflow-serving-api has the messages of `models.config`. Those of the other two are
declared here, after `session_bundle_config.proto` and `monitoring_config.proto` of TensorFlow
Serving 2.21; the text form needs names and types alone.
"""

from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

Field = descriptor_pb2.FieldDescriptorProto
_INT64, _STRING = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "BatchingParameters": {
        "max_batch_size": (Field.TYPE_MESSAGE, _INT64),
        "batch_timeout_micros": (Field.TYPE_MESSAGE, _INT64),
        "max_enqueued_batches": (Field.TYPE_MESSAGE, _INT64),
        "num_batch_threads": (Field.TYPE_MESSAGE, _INT64),
        "thread_pool_name": (Field.TYPE_MESSAGE, _STRING),
        "allowed_batch_sizes": (Field.TYPE_INT64, ""),
        "pad_variable_length_inputs": (Field.TYPE_BOOL, ""),
    },
    "PrometheusConfig": {"enable": (Field.TYPE_BOOL, ""), "path": (Field.TYPE_STRING, "")},
    "MonitoringConfig": {
        "prometheus_config": (Field.TYPE_MESSAGE, ".quartet.serving.PrometheusConfig")
    },
}
_REPEATED = "allowed_batch_sizes"


def _declare() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="quartet/serving.proto",
        package="quartet.serving",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
        syntax="proto3",
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, (kind, type_name)) in enumerate(fields.items(), start=1):
            label = Field.LABEL_REPEATED if field == _REPEATED else Field.LABEL_OPTIONAL
            message.field.add(
                name=field, number=number, type=kind, type_name=type_name or None, label=label
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"quartet.serving.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _declare()
BatchingParameters: Any = _CLASSES["BatchingParameters"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]


class ConfigFileError(ValueError):
    """A configuration file that cannot be read; the message names it and the line."""


def read_config(file: Path, message: type[Any]) -> Any:
    """Reads a configuration file.

    Args:
        file: Such as `saved_models/models.config`.
        message: `ModelServerConfig`, `BatchingParameters` or `MonitoringConfig`.

    Raises:
        ConfigFileError: It is missing or not of that form.
    """
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), message())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigFileError(
            f"{file}: {error}. Expected the text form of {message.DESCRIPTOR.name}, as TensorFlow "
            "Serving takes it."
        ) from error


__all__ = [
    "BatchingParameters",
    "ConfigFileError",
    "ModelServerConfig",
    "MonitoringConfig",
    "read_config",
]
