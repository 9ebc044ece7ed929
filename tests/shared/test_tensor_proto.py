"""Tensors as protocol buffers against TensorFlow's own."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from shared.serving.tensor_proto import read_tensor_proto, write_tensor_proto

ARRAYS = {
    "strings": np.array([[b"a", b"", b"\xff\x00"]], object),
    "no rows": np.zeros((0, 3), np.float32),
    "a scalar": np.array(2.5, np.float64),
    "a scalar string": np.array(b"a", object),
    "not contiguous": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
    **{
        dtype: np.array([[0, 1], [1, 0]], dtype)
        for dtype in ("bool", "uint8", "int32", "int64", "float16", "float32", "complex64")
    },
}


def write(values: np.ndarray) -> tensor_pb2.TensorProto:
    message = tensor_pb2.TensorProto()
    write_tensor_proto(values, message)
    return message


@pytest.mark.parametrize("name", ARRAYS)
def test_messages_say_what_those_of_tensorflow_say(name: str) -> None:
    values = ARRAYS[name]
    message, expected = write(values), tf.make_tensor_proto(values)
    assert (message.dtype, message.tensor_shape) == (expected.dtype, expected.tensor_shape)
    for found in (
        tf.make_ndarray(message),
        tf.io.parse_tensor(message.SerializeToString(), tf.dtypes.as_dtype(message.dtype)).numpy(),
    ):
        found = np.asarray(found)
        assert found.shape == values.shape
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("write", [write, tf.make_tensor_proto])
def test_messages_of_both_are_read(name: str, write: Callable) -> None:
    values = ARRAYS[name]
    found = read_tensor_proto(write(values))
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(found, values)


def test_messages_in_other_forms_are_read_as_tensorflow_reads_them() -> None:
    shape = {"dim": [{"size": 2}, {"size": 2}]}
    for message in (
        tensor_pb2.TensorProto(dtype="DT_FLOAT", tensor_shape=shape, float_val=[1, 2, 3, 4]),
        tensor_pb2.TensorProto(dtype="DT_INT32", tensor_shape=shape, int_val=[7]),
        tensor_pb2.TensorProto(dtype="DT_STRING", tensor_shape=shape, string_val=[b"a"]),
        tensor_pb2.TensorProto(dtype="DT_FLOAT", tensor_shape=shape),
    ):
        np.testing.assert_array_equal(read_tensor_proto(message), tf.make_ndarray(message))
    short = tensor_pb2.TensorProto(dtype="DT_FLOAT", tensor_shape=shape, tensor_content=b"1234")
    with pytest.raises(ValueError):
        read_tensor_proto(short)
    with pytest.raises(TypeError):
        read_tensor_proto(tensor_pb2.TensorProto(dtype="DT_VARIANT", tensor_shape=shape))
