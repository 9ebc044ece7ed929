"""Tensors as protocol buffers, as TensorFlow Serving's gRPC interface has them."""

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2


def write_tensor_proto(values: np.ndarray) -> tensor_pb2.TensorProto:
    """Makes a message of an array.

    It says what `tf.make_tensor_proto` says, which takes half a millisecond for the ten outputs of
    an app.

    Args:
        values: Numbers, booleans, or bytes in an array of objects.
    """
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in values.shape]
    )
    message = tensor_pb2.TensorProto(
        dtype=tf.as_dtype(values.dtype).as_datatype_enum, tensor_shape=shape
    )
    if values.dtype.hasobject:
        message.string_val.extend(values.ravel().tolist())
    else:
        message.tensor_content = values.tobytes()
    return message
