"""Outputs whose columns depend on the batch, joined."""

import numpy as np

from shared.export.answers import join_batches


def test_batches_of_fewer_columns_are_padded() -> None:
    texts = [np.array([[b"a"]], object), np.array([[b"b", b"c"]], object)]
    assert join_batches(texts).tolist() == [[b"a", b""], [b"b", b"c"]]
    places = [np.array([[1, 2]], np.int32), np.array([[3]], np.int32)]
    assert join_batches(places).tolist() == [[1, 2], [3, -1]]
    scores = [np.ones((1, 2), np.float32), np.ones((2, 1), np.float32)]
    assert join_batches(scores).tolist() == [[1, 1], [1, 0], [1, 0]]


def test_one_number_per_row_is_joined_as_it_is() -> None:
    assert join_batches([np.array([1.5]), np.array([2.5])]).tolist() == [1.5, 2.5]
