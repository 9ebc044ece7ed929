"""Tiny SavedModels, as they must be and not, and what verification says of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.export.saved_model import write_details, write_saved_model
from shared.export.verification import Expected, ExportError, Tensor, verify
from shared.export.warmup import write_warmup

NUMBERS = np.array([0.5, 1.5, 2.5, 3.5], np.float32)
REFERENCE = {"label": np.array([b"low", b"low", b"high", b"high"], object), "score": 2 * NUMBERS}
OUTPUTS = {"label": Tensor("string"), "score": Tensor("float32")}
EXPECTED = {"serving_default": Expected({"numbers": Tensor("float32")}, OUTPUTS)}
GOOD_REQUEST = ("serving_default", {"numbers": NUMBERS[:1]})
OPEN_BATCH = tf.TensorSpec((None,), tf.float32, name="numbers")


def answer(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"label": tf.where(numbers > 2, "high", "low"), "score": 2 * numbers}


def with_outputs(**changed: Callable[[tf.Tensor], tf.Tensor]) -> Callable[..., Any]:
    """`answer` with some outputs computed in another way."""

    def changed_answer(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(numbers) | {name: function(numbers) for name, function in changed.items()}

    return changed_answer


def without_score(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"label": answer(numbers)["label"]}


def in_python(numbers: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.py_function(lambda x: 2 * x, [numbers], tf.float32), (None,))


def by_singular_values(numbers: tf.Tensor) -> tf.Tensor:
    return 2 * tf.linalg.svd(tf.abs(numbers)[:, None, None], compute_uv=False)[:, 0]


def write(
    folder: Path,
    function: Callable[..., Any] = answer,
    name: str = "serving_default",
    spec: tf.TensorSpec = OPEN_BATCH,
    warmup: tuple[str, Mapping[str, Any]] | None = None,
) -> Path:
    signature = tf.function(function, input_signature=[spec], autograph=False)
    write_saved_model(folder, {name: signature}, [])
    write_details(folder, {"calibration": {}}, ["low", "high"])
    write_warmup(folder, "tiny", [warmup or (name, {spec.name: NUMBERS[: spec.shape[0] or 1]})])
    return folder


def problems_of(folder: Path, reference: Mapping[str, np.ndarray] = REFERENCE) -> list[str]:
    with pytest.raises(ExportError) as caught:
        verify(folder, EXPECTED, {"numbers": NUMBERS}, reference)
    heading, *problems = str(caught.value).split("\n")
    assert heading == "Nothing was published:"
    return [problem.strip() for problem in problems]
