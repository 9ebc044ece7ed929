"""How TensorFlow is loaded, after the settings of the process that have to be made before."""

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module

# Numbers and names of malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_THRESHOLD, _LARGEST_INT = 2**30, 2**31 - 1
_STANDARD_ERROR = 2


def prepare_tensorflow(op_threads: int = 0) -> None:
    """Makes the settings that have to be made before TensorFlow is loaded, and loads it.

    Args:
        op_threads: How many threads share the work of one op; 0 leaves it to TensorFlow. Work on a
            few rows takes longer to be shared out than to be done.
    """
    _hide_log()
    _keep_memory()
    if op_threads:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(op_threads)
    _load_tensorflow()


def _hide_log() -> None:
    """Hides TensorFlow's log of missing GPUs, gradients that a server does not need, and the like;
    exceptions are not affected."""
    # Imported here, as what asks a server needs neither this nor TensorFlow, which brings it.
    from absl import logging as absl_logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)


def _load_tensorflow() -> None:
    """Loads it without the lines on standard error that its libraries write whatever is set.

    They are shown where the environment asks for a full log, by TF_CPP_MIN_LOG_LEVEL=0.
    """
    is_hidden = sys.stderr and os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0"
    with _standard_error_hidden() if is_hidden else nullcontext():
        import_module("tensorflow")


@contextmanager
def _standard_error_hidden() -> Iterator[None]:
    """Hides what the process's libraries write, too, which know the file by its number alone."""
    sys.stderr.flush()
    kept = os.dup(_STANDARD_ERROR)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), _STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)


def _keep_memory() -> None:
    """Lets the process keep the memory of freed arrays for the next ones.

    The GNU C library gives large blocks back to the system at once, which then clears the same
    pages for every batch. Does nothing where that library is not in use.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
