"""Batching by TensorFlow's scheduler, as `batching.config` sets it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.serving.batching import Batching, call_alone, read_batching
from shared.serving.config_files import ConfigFileError


class Doubling(tf.Module):
    """Counts how often it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        self.calls.assign_add(1)
        return {"y": 2 * x, "name": tf.strings.as_string(x[:, 0])}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def halve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made, folder = Doubling(), str(tmp_path_factory.mktemp("model"))
    tf.saved_model.save(made, folder, {"serving_default": made.double, "halve": made.halve})
    return tf.saved_model.load(folder)


def test_a_request_alone_is_answered_as_by_the_function(model: Any) -> None:
    function, rows = model.signatures["serving_default"], tf.constant([[1.0, 2.0]])
    found, expected = call_alone(function)(x=rows), function(x=rows)
    assert found.keys() == expected.keys()
    assert all((found[name].numpy() == value.numpy()).all() for name, value in expected.items())


def test_requests_are_joined_and_parted(model: Any) -> None:
    batching = Batching(max_batch_size=8, timeout_micros=50_000, threads=1)
    joined = batching.wrap(model.signatures["serving_default"])

    def ask(number: int) -> bool:
        rows = np.full((1 + number % 2, 2), number, np.float32)
        answer = joined(x=tf.constant(rows))
        names = tf.strings.as_string(rows[:, 0]).numpy().tolist()
        return (answer["y"].numpy() == 2 * rows).all() and answer["name"].numpy().tolist() == names

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(64)))
    assert 64 * 1.5 / 8 <= model.calls.numpy() < 40


def test_functions_do_not_share_a_queue(model: Any) -> None:
    joined = Batching(max_batch_size=4, timeout_micros=20_000, threads=1).wrap
    double, halve = (joined(model.signatures[name]) for name in ("serving_default", "halve"))

    def ask(number: int) -> bool:
        rows = np.full((1, 2), number, np.float32)
        answer = (double, halve)[number % 2](x=tf.constant(rows))["y"].numpy()
        return (answer == rows * (2, 0.5)[number % 2]).all()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(64)))


def test_a_request_larger_than_a_batch_is_refused(model: Any) -> None:
    joined = Batching(max_batch_size=4, threads=1).wrap(model.signatures["serving_default"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="size 9 is larger than .* 4"):
        joined(x=tf.zeros((9, 2)))


def test_the_file_of_tensorflow_serving(tmp_path: Path) -> None:
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 5 } "
        "num_batch_threads { value: 3 } max_enqueued_batches { value: 7 } "
        "allowed_batch_sizes: 2 allowed_batch_sizes: 8"
    )
    assert read_batching(file) == Batching(8, 5, 3, 7, (2, 8))
    file.write_text("max_batch_size { value: 8 }")
    assert read_batching(file) == Batching(max_batch_size=8)
    file.write_text("largest: 8")
    with pytest.raises(ConfigFileError, match=r"batching\.config: 1:1 .*largest"):
        read_batching(file)
