"""Tensors as protocol buffers, as TensorFlow Serving's gRPC interface has them."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

_ARRAYS = {
    dtype.as_datatype_enum: np.dtype(dtype.as_numpy_dtype)
    for dtype in map(tf.as_dtype, range(types_pb2.DT_FLOAT, types_pb2.DT_UINT64 + 1))
    if dtype.is_bool or dtype.is_integer or dtype.is_floating or dtype.is_complex
}
_NUMBERS = {array: number for number, array in _ARRAYS.items()}


def write_tensor_proto(values: np.ndarray, message: tensor_pb2.TensorProto) -> None:
    """Fills an empty message with an array.

    It then says what `tf.make_tensor_proto` says, which takes half a millisecond for the ten
    outputs of an app.

    Args:
        values: Numbers, booleans, or bytes in an array of objects.
        message: Where to write.
    """
    for size in values.shape:
        message.tensor_shape.dim.add(size=size)
    message.tensor_shape.SetInParent()
    if values.dtype.hasobject:
        message.dtype = types_pb2.DT_STRING
        message.string_val.extend(values.ravel().tolist())
    else:
        message.dtype = _NUMBERS[values.dtype]
        message.tensor_content = values.tobytes()


def read_tensor_proto(message: tensor_pb2.TensorProto) -> np.ndarray:
    """Makes an array of a message, as `tf.make_ndarray` does, which is slower.

    Returns:
        Numbers, booleans, or bytes in an array of objects. It must not be written to.

    Raises:
        TypeError: The type of the tensor is none that an array has.
        ValueError: The values do not fit the shape.
    """
    shape = [dim.size for dim in message.tensor_shape.dim]
    if message.dtype == types_pb2.DT_STRING and len(message.string_val) == math.prod(shape):
        values = np.empty(len(message.string_val), object)
        values[:] = message.string_val
        return values.reshape(shape)
    if message.tensor_content and message.dtype in _ARRAYS:
        return np.frombuffer(message.tensor_content, _ARRAYS[message.dtype]).reshape(shape)
    try:
        return tf.make_ndarray(message)
    except KeyError:
        raise TypeError(f"no array holds the type {message.dtype}") from None
