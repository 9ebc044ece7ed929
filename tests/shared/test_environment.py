"""Settings that are made before TensorFlow is loaded, in processes that load it."""

import os
import subprocess
import sys

import pytest

from shared.environment import prepare_tensorflow

VARIABLE = "TF_NUM_INTRAOP_THREADS"
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@pytest.mark.parametrize(("number", "expected"), [(3, "3"), (0, "5")])
def test_threads_of_an_op_are_left_to_tensorflow_unless_asked_for(
    number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "5")
    prepare_tensorflow(number)
    assert os.environ[VARIABLE] == expected


@pytest.mark.parametrize(("level", "is_told"), [("", False), ("0", True)])
def test_tensorflow_is_loaded_without_a_word_unless_asked_for(level: str, is_told: bool) -> None:
    lines = "import sys; from shared.environment import prepare_tensorflow; prepare_tensorflow(); "
    lines += "import tensorflow as tf; tf.constant(1); print('said', file=sys.stderr)"
    environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL}
    environment |= {LOG_LEVEL: level} if level else {}
    command = [sys.executable, "-c", lines]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0
    assert (done.stderr != "said\n") == is_told
    assert done.stderr.endswith("said\n")


def test_the_server_names_all_flags_that_are_too_small() -> None:
    flags = ["--op-threads=-1", "--threads=0", "--timeout-seconds=nan"]
    command = [sys.executable, "-m", "shared.serving.server", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    for said in (
        "--op-threads is -1; expected at least 0",
        "--threads is 0; expected at least 1",
        "--timeout-seconds is nan",
    ):
        assert said in done.stderr
