"""Settings of the process that have to be made before TensorFlow is loaded."""

import logging
import os


def quiet_tensorflow() -> None:
    """Hides TensorFlow's log of missing GPUs, gradients that a server does not need, and the like;
    exceptions are not affected."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
