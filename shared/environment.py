"""Settings of the process that have to be made before TensorFlow is loaded."""

import logging
import os


def quiet_tensorflow() -> None:
    """Hides TensorFlow's log of missing GPUs and the like; exceptions are not affected."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
