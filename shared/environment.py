"""Settings of the process that have to be made before TensorFlow is loaded."""

import logging
import os


def quiet_tensorflow() -> None:
    """Hides TensorFlow's log of missing GPUs, gradients that a server does not need, and the like;
    exceptions are not affected."""
    # Imported here, as what asks a server needs neither this nor TensorFlow, which brings it.
    from absl import logging as absl_logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)
