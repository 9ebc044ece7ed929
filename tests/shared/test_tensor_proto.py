"""Tensors as protocol buffers against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from shared.serving.tensor_proto import write_tensor_proto

ARRAYS = {
    "strings": np.array([[b"a", b"", b"\xff\x00"]], object),
    "no rows": np.zeros((0, 3), np.float32),
    "a scalar": np.array(2.5, np.float64),
    "a scalar string": np.array(b"a", object),
    "not contiguous": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
    **{
        dtype: np.array([[0, 1], [1, 0]], dtype)
        for dtype in ("bool", "uint8", "int32", "int64", "float16", "float32")
    },
}


@pytest.mark.parametrize("name", ARRAYS)
def test_messages_say_what_those_of_tensorflow_say(name: str) -> None:
    values = ARRAYS[name]
    message, expected = write_tensor_proto(values), tf.make_tensor_proto(values)
    assert (message.dtype, message.tensor_shape) == (expected.dtype, expected.tensor_shape)
    for found in (
        tf.make_ndarray(message),
        tf.io.parse_tensor(message.SerializeToString(), tf.dtypes.as_dtype(message.dtype)).numpy(),
    ):
        found = np.asarray(found)
        assert found.shape == values.shape
        np.testing.assert_array_equal(found, values)
