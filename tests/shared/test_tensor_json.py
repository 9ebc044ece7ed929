import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared.serving.status import ServingError
from shared.serving.tensor_json import read_predict, read_tensor, write_predict, write_tensor

FLOAT, INT, BOOL, STRING = (np.dtype(kind) for kind in ("float32", "int32", "bool", "object"))
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


@given(
    st.sampled_from(["float32", "float64", "int8", "uint8", "int64", "bool"]).flatmap(
        lambda kind: arrays.arrays(kind, SHAPES)
    )
)
def test_numbers_survive_json(values: np.ndarray) -> None:
    read = read_tensor("x", values.dtype, json.loads(json.dumps(write_tensor("x", values))))
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@given(st.lists(st.binary(), min_size=1))
def test_bytes_survive_json_as_base64(values: list[bytes]) -> None:
    array = np.array(values, object)
    read = read_tensor("x", STRING, json.loads(json.dumps(write_tensor("x_bytes", array))))
    assert read.tolist() == values


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_texts_survive_json_as_text(values: list[str]) -> None:
    array = np.array([value.encode() for value in values], object)
    assert write_tensor("x", array) == values
    assert read_tensor("x", STRING, values).tolist() == array.tolist()


def test_bytes_that_are_no_text_are_shown_as_text_all_the_same() -> None:
    assert write_tensor("x", np.array([b"a\xff"], object)) == ["a�"]


def test_float32_is_written_with_its_fewest_digits() -> None:
    values = np.array([0.1, 1 / 3, 1e-20, 16777216], np.float32)
    assert json.dumps(write_tensor("x", values)) == "[0.1, 0.33333334, 1e-20, 16777216.0]"


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (FLOAT, [[1], [2, 3]], "Expecting tensor size: 1 but got: 2"),
        (FLOAT, [[1], 2], "Expecting tensor size: 1 but got: no list"),
        (FLOAT, [1, [2]], "nested equally deep"),
        (FLOAT, ["1"], "input x: expected float32, got '1' .str."),
        (FLOAT, [None], "got 'None'"),
        (FLOAT, [True], "got 'True'"),
        (FLOAT, [1e39], "out of the range of float32"),
        (INT, [1.0], "expected int32, got '1.0'"),
        (INT, [2**31], "input x: "),
        (BOOL, [1], "expected bool, got '1'"),
        (STRING, [1], "expected text or"),
        (STRING, [{"b64": "a"}], "no base64"),
        (STRING, [{"b64": "YQ==", "more": 1}], "expected text or"),
        (STRING, [{"b64": 1}], "expected text or"),
        (STRING, [{"b64": "_-8="}], "no base64"),
    ],
)
def test_what_is_no_tensor(dtype: np.dtype, value: object, message: str) -> None:
    with pytest.raises(ServingError, match=message):
        read_tensor("x", dtype, value)


def test_deep_lists_are_refused() -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(ServingError, match="nested more than 16 deep"):
        read_tensor("x", INT, value)


def test_lists_without_values() -> None:
    assert read_tensor("x", FLOAT, []).shape == (0,)
    assert read_tensor("x", STRING, [[], []]).shape == (2, 0)


def test_rows_and_columns_are_equal() -> None:
    dtypes = {"a": FLOAT, "b": STRING}
    rows = {"instances": [{"a": 1, "b": "x"}, {"a": 2.5, "b": {"b64": "eQ=="}}]}
    columns = {"inputs": {"a": [1, 2.5], "b": ["x", "y"]}}
    (by_row, is_row), (by_column, is_column) = (read_predict(b, dtypes) for b in (rows, columns))
    assert is_row and not is_column
    for name in dtypes:
        np.testing.assert_array_equal(by_row[name], by_column[name])


def test_one_output_is_bare_and_several_are_named() -> None:
    y, z = np.array([1, 2]), np.array([[3], [4]])
    assert write_predict({"y": y}, by_row=True) == {"predictions": [1, 2]}
    assert write_predict({"y": y}, by_row=False) == {"outputs": [1, 2]}
    rows = {"predictions": [{"y": 1, "z": [3]}, {"y": 2, "z": [4]}]}
    assert write_predict({"y": y, "z": z}, by_row=True) == rows
    assert write_predict({"y": y, "z": z}, by_row=False) == {
        "outputs": {"y": [1, 2], "z": [[3], [4]]}
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    for body in ({"inputs": value}, {"instances": value}, {"inputs": {"a": value, "b": value}}):
        for dtypes in ({"a": FLOAT}, {"a": INT, "b": STRING}):
            try:
                inputs, _ = read_predict(body, dtypes)
            except ServingError:
                continue
            assert set(inputs) == set(dtypes)
