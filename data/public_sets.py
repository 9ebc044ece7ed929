"""What the public sets of every kind have in common."""

from __future__ import annotations

import tensorflow_datasets as tfds

from data.splits import DataError, Problem, Split

Stored = tuple[tuple[str, ...], dict[str, Split], list[Problem]]
"""Class names in index order, the splits that exist by name, and warnings."""

_FAILURES = (
    OSError,
    ValueError,
    AssertionError,
    ImportError,
    tfds.download.DownloadError,
    tfds.core.download.download_manager.NonMatchingChecksumError,
)


def prepare(name: str, builder: tfds.core.DatasetBuilder) -> None:
    """Downloads a set and writes it to the folder of TensorFlow Datasets, unless it is there.

    Args:
        name: What the user asked for.
        builder: The set.

    Raises:
        DataError: If that fails.
    """
    try:
        builder.download_and_prepare()
    except _FAILURES as error:
        message = (
            f"not in {builder.data_path} and could not be prepared there: {error}. Run once on a "
            "connected machine and copy that folder, or pass the data_dir that holds the set"
        )
        raise data_error(name, message) from error


def data_error(where: str, message: str) -> DataError:
    """One error as an exception."""
    return DataError([Problem("error", where, message)])
