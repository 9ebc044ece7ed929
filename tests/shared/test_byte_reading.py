import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from shared.layers.byte_reading import contains_at, read_bytes, read_uint, read_words

FILES = st.lists(st.binary(max_size=20), min_size=1, max_size=4)


@given(FILES, st.integers(0, 24))
def test_fields_are_what_numpy_finds_and_zero_behind_the_end(files: list[bytes], position: int):
    cut = [file[position : position + 8].ljust(8, b"\0") for file in files]
    data = tf.constant(files)
    np.testing.assert_array_equal(
        read_bytes(data, position, 8), [np.frombuffer(c, np.uint8) for c in cut]
    )
    np.testing.assert_array_equal(
        read_words(data, position, 2), [np.frombuffer(c, "<u4") for c in cut]
    )
    for order in ("<", ">"):
        expected = [np.frombuffer(c[:4], f"{order}u4")[0] for c in cut]
        np.testing.assert_array_equal(read_uint(data, position, 4, order == "<"), expected)
    found = contains_at(data, position, b"\0\0")
    np.testing.assert_array_equal(found, [c[:2] == b"\0\0" for c in cut])


def test_each_file_has_a_position_of_its_own() -> None:
    words = read_words(tf.constant([b"abcdefgh", b"abcdefgh"]), tf.constant([0, 4]), 1)
    expected = [[int.from_bytes(b"abcd", "little")], [int.from_bytes(b"efgh", "little")]]
    np.testing.assert_array_equal(words, expected)
