"""Tensors as JSON, and back, as TensorFlow Serving's REST interface has them.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md
"""

import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pybase64
from grpc import StatusCode

from shared.serving.status import ServingError

BYTES_SUFFIX = "_bytes"
"""String outputs whose name ends so are answered as base64, others as text."""
_B64 = "b64"
_MAX_RANK = 16


def read_tensor(name: str, dtype: np.dtype, value: Any) -> np.ndarray:
    """Makes a tensor of parsed JSON.

    Args:
        name: Of the input, for errors.
        dtype: What it must hold; `object` stands for strings, which come as text or as
            `{"b64": …}`.
        value: A value or nested lists of them, each list of the same length as its neighbours.

    Returns:
        An array; of bytes if `dtype` is `object`.

    Raises:
        ServingError: The lists are ragged, a value has another type or does not fit.
    """
    shape, leaves = _flatten(value)
    try:
        if dtype.hasobject:
            flat = np.empty(len(leaves), object)
            flat[:] = [_read_bytes(leaf) for leaf in leaves]
        else:
            flat = _read_numbers(leaves, dtype)
    except (ValueError, OverflowError) as error:
        raise _invalid(f"input {name}: {error}") from None
    return flat.reshape(shape)


def write_tensor(name: str, values: np.ndarray) -> Any:
    """Makes JSON of a tensor.

    Args:
        name: Of the output; strings become base64 if it ends in `_bytes`.
        values: Numbers, booleans or bytes.

    Returns:
        A value or nested lists. Numbers of float32 have the fewest digits that tell them apart.
    """
    if values.dtype.hasobject:
        write = _write_base64 if name.endswith(BYTES_SUFFIX) else _write_text
        written = np.empty(values.size, object)
        written[:] = [write(value) for value in values.flat]
        return written.reshape(values.shape).tolist()
    if values.dtype == np.float32:
        return values.astype("U").astype(np.float64).tolist()
    return values.tolist()


def read_predict(body: Any, dtypes: Mapping[str, np.dtype]) -> tuple[dict[str, np.ndarray], bool]:
    """Reads the inputs of a predict request.

    Args:
        body: The parsed JSON of the request.
        dtypes: What each input of the signature holds.

    Returns:
        The inputs by name, and whether they came in row form, so that the answer has it, too.

    Raises:
        ServingError: The form is neither of the two, or an input is wrong.
    """
    if ("instances" in body) == ("inputs" in body):
        found = "both 'inputs' and 'instances'" if "inputs" in body else "neither"
        raise _invalid(f"Missing 'inputs' or 'instances' key: expected one of them, got {found}")
    if "instances" in body:
        return _read_rows(body["instances"], dtypes), True
    return _read_columns(body["inputs"], dtypes), False


def write_predict(outputs: Mapping[str, np.ndarray], by_row: bool) -> dict[str, Any]:
    """The body of a predict answer.

    Args:
        outputs: Arrays by name.
        by_row: Whether it has one entry per row, as the request had, or one per output.

    Raises:
        ServingError: The outputs have no common first dimension to be put into rows.
    """
    written = {name: write_tensor(name, values) for name, values in outputs.items()}
    single = next(iter(written.values())) if len(written) == 1 else None
    if not by_row:
        return {"outputs": single if len(written) == 1 else written}
    rows = {values.shape[0] if values.ndim else None for values in outputs.values()}
    if len(rows) != 1 or None in rows:
        names = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise _invalid(f"Tensors have inconsistent batch sizes: {names}; ask by 'inputs' instead")
    if len(written) == 1:
        return {"predictions": single}
    columns = zip(*written.values(), strict=True)
    return {"predictions": [dict(zip(written, row, strict=True)) for row in columns]}


def _read_rows(rows: Any, dtypes: Mapping[str, np.dtype]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list) or not rows:
        raise _invalid("Request data does not contain any 'instances'; expected a list of rows")
    if len(dtypes) == 1:
        [name] = dtypes
        if all(isinstance(row, dict) and set(row) == {name} for row in rows):
            rows = [row[name] for row in rows]
        return {name: read_tensor(name, dtypes[name], rows)}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != set(dtypes):
            found = ", ".join(sorted(row)) if isinstance(row, dict) else type(row).__name__
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list: expected an object "
                f"with {', '.join(sorted(dtypes))}, got {found}"
            )
    return {name: read_tensor(name, dtypes[name], [row[name] for row in rows]) for name in dtypes}


def _read_columns(inputs: Any, dtypes: Mapping[str, np.dtype]) -> dict[str, np.ndarray]:
    if len(dtypes) == 1 and not (isinstance(inputs, dict) and set(inputs) >= set(dtypes)):
        [name] = dtypes
        return {name: read_tensor(name, dtypes[name], inputs)}
    if not isinstance(inputs, dict):
        raise _invalid(f"'inputs' must be an object with {', '.join(sorted(dtypes))}")
    missing = sorted(set(dtypes) - set(inputs))
    if missing:
        raise _invalid(f"Missing named input: {missing[0]} in 'inputs' object.")
    return {name: read_tensor(name, dtypes[name], inputs[name]) for name in dtypes}


def _flatten(value: Any) -> tuple[list[int], list[Any]]:
    """Shape and values of nested lists."""
    shape: list[int] = []
    leaves = [value]
    while leaves and isinstance(leaves[0], list):
        size = len(leaves[0])
        for item in leaves:
            if not isinstance(item, list) or len(item) != size:
                found = len(item) if isinstance(item, list) else "no list"
                raise _invalid(f"Expecting tensor size: {size} but got: {found}")
        shape.append(size)
        if len(shape) > _MAX_RANK:
            raise _invalid(f"lists are nested more than {_MAX_RANK} deep")
        leaves = list(chain.from_iterable(leaves))
    if any(isinstance(leaf, list) for leaf in leaves):
        raise _invalid("Expecting a value but got a list: lists must be nested equally deep")
    return shape, leaves


def _read_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and set(value) == {_B64} and isinstance(value[_B64], str):
        try:
            return pybase64.b64decode(value[_B64], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"no base64: {error}") from None
    raise ValueError(f"expected text or {{'b64': …}}, got {_show(value)}")


def _read_numbers(values: Sequence[Any], dtype: np.dtype) -> np.ndarray:
    allowed: tuple[type, ...] = {"b": (bool,), "f": (int, float)}.get(dtype.kind, (int,))
    for kind in set(map(type, values)):
        if kind not in allowed:
            wrong = next(value for value in values if type(value) is kind)
            raise ValueError(f"expected {dtype.name}, got {_show(wrong)}")
    if dtype.kind != "f":
        return np.array(values, dtype)
    wide = np.array(values, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if (np.isfinite(wide) & ~np.isfinite(narrow)).any():
        raise ValueError(f"a number is out of the range of {dtype.name}")
    return narrow


def _write_base64(value: bytes) -> dict[str, str]:
    return {_B64: pybase64.b64encode_as_string(value)}


def _write_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _show(value: Any) -> str:
    return f"{str(value)[:40]!r} ({type(value).__name__})"


def _invalid(message: str) -> ServingError:
    return ServingError(StatusCode.INVALID_ARGUMENT, message)
