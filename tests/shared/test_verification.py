import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.export import verification
from shared.export.verification import (
    ALLOWED_OPS,
    TOLERANCE,
    ExportError,
    compare_answers,
    verify,
)
from shared.export.warmup import FILE, replay_warmup, write_warmup
from tests.shared.tiny_models import (
    EXPECTED,
    GOOD_REQUEST,
    NUMBERS,
    OPEN_BATCH,
    REFERENCE,
    answer,
    by_singular_values,
    in_python,
    problems_of,
    with_outputs,
    without_score,
    write,
)


def test_a_model_that_is_as_it_must_be(tmp_path):
    folder = write(tmp_path / "model")
    result = verify(folder, EXPECTED, {"numbers": NUMBERS}, REFERENCE)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert result.pop("load_seconds") >= 0
    assert result == {
        "max_abs_difference": 0.0,
        "label_agreement": 1.0,
        "bytes": sum(len(path.read_bytes()) for path in files),
        "warmup_requests": 1,
    }


def test_the_published_image_model_was_verified(image_run):
    extra = image_run.model / "assets.extra"
    result = json.loads((extra / "metrics.json").read_text())["export"]
    assert result["max_abs_difference"] < 1e-5
    assert result["label_agreement"] == 1.0
    assert result["warmup_requests"] == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "predict"}, "signatures are ['predict'], expected ['serving_default']"),
        ({"function": without_score}, "serving_default outputs are ['label'], expected ['label',"),
        (
            {"function": with_outputs(extra=tf.identity)},
            "serving_default outputs are ['extra', 'label', 'score'], expected",
        ),
        (
            {"function": with_outputs(score=lambda x: tf.cast(2 * x, tf.float64))},
            "serving_default outputs: score is float64 (-1,), expected float32 (batch) with an",
        ),
        (
            {"function": with_outputs(score=lambda x: 2 * x[:, None])},
            "serving_default outputs: score is float32 (-1, 1), expected float32 (batch)",
        ),
        (
            {"spec": tf.TensorSpec((4,), tf.float32, name="numbers")},
            "serving_default inputs: numbers is float32 (4,), expected float32 (batch) with an",
        ),
        (
            {"spec": tf.TensorSpec(None, tf.float32, name="numbers"), "warmup": GOOD_REQUEST},
            "serving_default inputs: numbers is float32 (), expected float32 (batch)",
        ),
        (
            {"spec": tf.TensorSpec((None,), tf.float32, name="x")},
            "serving_default inputs are ['x'], expected ['numbers']",
        ),
    ],
    ids=[
        "signature_name",
        "missing_output",
        "unknown_output",
        "dtype",
        "rank",
        "fixed_batch",
        "unknown_rank",
        "input_name",
    ],
)
def test_a_signature_of_another_form(tmp_path, changes, expected):
    problems = problems_of(write(tmp_path / "model", **changes))
    assert any(problem.startswith(expected) for problem in problems), problems


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (with_outputs(score=lambda x: 2 * x + 0.01), "answers differ by 0.01 from the trained"),
        (with_outputs(score=lambda x: 2 * x * float("nan")), "answers differ by nan from"),
        (with_outputs(score=lambda x: 2 * x[:1]), "answers differ by inf from"),
        (
            with_outputs(label=lambda x: tf.where(x > 3, "high", "low")),
            "only 75.00% of labels equal the trained model's",
        ),
        (
            with_outputs(label=lambda x: tf.fill([tf.size(x) - 1], "low")),
            "only 0.00% of labels equal",
        ),
        (
            with_outputs(score=lambda x: tf.ensure_shape(2 * x, (3,))[: tf.size(x)]),
            "serving_default fails on validation examples: ",
        ),
    ],
    ids=["weights", "not_a_number", "rows_missing", "label", "labels_missing", "raises"],
)
def test_answers_that_are_not_those_of_the_trained_model(tmp_path, function, expected):
    folder = write(tmp_path / "model", function)
    problems = problems_of(folder)
    for place in ("loaded in Python, ", "in a session, "):
        assert any(problem.startswith(place + expected) for problem in problems), problems


def test_a_difference_within_the_tolerance_is_none(tmp_path):
    folder = write(tmp_path / "model", with_outputs(score=lambda x: 2 * x + TOLERANCE / 2))
    result = verify(folder, EXPECTED, {"numbers": NUMBERS}, REFERENCE)
    assert 0 < result["max_abs_difference"] <= TOLERANCE


@pytest.mark.parametrize(
    ("function", "op"), [(in_python, "EagerPyFunc"), (by_singular_values, "Svd")]
)
def test_an_op_that_a_server_may_lack(tmp_path, function, op):
    folder = write(tmp_path / "model", with_outputs(score=function))
    assert problems_of(folder) == [f"op {op} is not in shared/export/allowed_ops.txt"]


def test_a_foreign_op_inside_a_function_of_tf_data(tmp_path):
    def score(numbers: tf.Tensor) -> tf.Tensor:
        rows = tf.data.Dataset.from_tensor_slices(numbers[:, None])
        doubled = rows.map(by_singular_values, num_parallel_calls=2).batch(100)
        return tf.ensure_shape(doubled.get_single_element()[:, 0], (None,))

    folder = write(tmp_path / "model", with_outputs(score=score))
    assert problems_of(folder) == ["op Svd is not in shared/export/allowed_ops.txt"]


def test_a_function_for_xla(tmp_path):
    double = tf.function(lambda x: 2 * x, jit_compile=True)
    folder = write(tmp_path / "model", with_outputs(score=double))
    expected = "a function asks for XLA, which TensorFlow Serving has switched off"
    assert problems_of(folder) == [expected]


@pytest.mark.parametrize(
    "request_",
    [
        ("unknown", {"numbers": NUMBERS}),
        ("serving_default", {"number": NUMBERS}),
        ("serving_default", {"numbers": np.array([b"text"], object)}),
    ],
    ids=["signature", "input", "dtype"],
)
def test_a_warm_up_request_that_fails(tmp_path, request_):
    folder = write(tmp_path / "model", warmup=request_)
    assert problems_of(folder)[0].startswith("a warm-up request fails: ")


def test_a_warm_up_file_that_is_missing(tmp_path):
    folder = write(tmp_path / "model")
    (folder / FILE).unlink()
    problem = problems_of(folder)[0]
    assert problem.startswith("a warm-up request fails: ") and FILE.name in problem


@pytest.mark.parametrize("damage", ["cut off", "no record", "no request"])
def test_a_warm_up_file_that_is_damaged(tmp_path, damage):
    folder = write(tmp_path / "model")
    if damage == "no request":
        with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
            writer.write(b"\xff\xff\xff")
    else:
        content = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(content[:-3] if damage == "cut off" else b"no TFRecord at all")
    assert problems_of(folder)[0].startswith("a warm-up request fails: ")


def test_all_problems_are_listed_at_once(tmp_path):
    function = with_outputs(
        score=lambda x: 1 + by_singular_values(x),
        label=lambda x: tf.fill(tf.shape(x), "low"),
    )
    problems = problems_of(write(tmp_path / "model", function, warmup=("unknown", {})))
    beginnings = (
        "op Svd",
        "loaded in Python, answers differ by 1",
        "loaded in Python, only 50.00% of labels",
        "in a session, answers differ by 1",
        "in a session, only 50.00% of labels",
        "a warm-up request",
    )
    assert [p.startswith(b) for p, b in zip(problems, beginnings, strict=True)] == [True] * 6


def test_a_model_that_only_the_python_loader_restores_is_found(tmp_path):
    """Keras layers saved as they are: a session reads other variables than it restores."""
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    module = tf.Module()
    module.layer = layer

    def by_layer(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(numbers + 0 * layer(numbers[:, None])[:, 0])

    folder = write(tmp_path / "model")
    signature = tf.function(by_layer, input_signature=[OPEN_BATCH])
    shutil.copytree(folder / "assets.extra", tmp_path / "extra")
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    shutil.copytree(tmp_path / "extra", folder / "assets.extra", dirs_exist_ok=True)
    problems = problems_of(folder)
    assert problems[0].startswith("in a session, serving_default fails")
    assert not any(problem.startswith("loaded in Python") for problem in problems)


def test_problems_of_two_signatures_and_an_op_are_listed_at_once(tmp_path):
    function = with_outputs(score=lambda x: tf.cast(by_singular_values(x), tf.float64))
    folder = write(tmp_path / "model", function)
    expected = EXPECTED | {"pixels": EXPECTED["serving_default"]}
    with pytest.raises(ExportError) as caught:
        verify(folder, expected, {"numbers": NUMBERS}, REFERENCE)
    for words in ("['pixels', 'serving_default']", "score is float64", "op Svd"):
        assert words in str(caught.value)


def test_compare_answers_of_no_rows_and_of_text():
    none = {"score": np.zeros((0,), np.float32)}
    assert compare_answers(none, none) == (0.0, 1.0)
    labels = {"label": np.array(["a", "b"], object), "flag": np.array([True, False])}
    assert compare_answers(labels, labels) == (0.0, 1.0)
    assert compare_answers(labels, {"flag": np.array([True, True])}) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "wanted", "difference"),
    [(0.5, 0.2, 0.3), (2.0, 1.0, 1.0), (300.0, 200.0, 0.5), (-300.0, -200.0, 0.5), (9.0, 0.0, 9.0)],
)
def test_differences_of_numbers_above_one_are_relative(answer, wanted, difference):
    answers, reference = ({"score": np.array([1.0, value])} for value in (answer, wanted))
    assert compare_answers(answers, reference) == (pytest.approx(difference), 1.0)


def test_warm_up_requests_are_replayed_as_they_were_written(tmp_path):
    folder = write(tmp_path / "model")
    write_warmup(folder, "tiny", [GOOD_REQUEST, ("other", {"text": [b"\xff\x00", b""]})])
    asked = []

    class Recorder:
        def predict(self, signature: str, **inputs: Any) -> None:
            asked.append((signature, {name: value.tolist() for name, value in inputs.items()}))

    assert replay_warmup(folder, Recorder()) == 2
    assert asked == [
        ("serving_default", {"numbers": [0.5]}),
        ("other", {"text": [b"\xff\x00", b""]}),
    ]


def test_the_list_of_allowed_ops():
    path = Path(verification.__file__).parent / "allowed_ops.txt"
    lines = path.read_text().splitlines()
    assert lines == sorted(set(lines))
    assert frozenset(lines) == ALLOWED_OPS
    assert [op for op in lines if not hasattr(tf.raw_ops, op)] == []
    forbidden = ("cudnn", "xla", "pyfunc", "nccl", "tpu", "file", "write", "print", "iterator")
    allowed = {"InitializeTableFromTextFileV2", "ShardedFilename"}
    assert {op for op in lines if any(word in op.lower() for word in forbidden)} == allowed
