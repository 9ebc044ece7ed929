"""What the public sets of every kind have in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow_datasets as tfds

from data.recordings import Recording
from data.splits import DataError, Problem, Split


class Stored(NamedTuple):
    """A data set as it is stored.

    Args:
        labels: Class names in index order.
        splits: The splits that exist, by name.
        problems: Warnings.
        noise: Recordings that are no examples: of them `silence` is cut.
    """

    labels: tuple[str, ...]
    splits: dict[str, Split]
    problems: Sequence[Problem]
    noise: Sequence[Recording] = ()


PREFIX = "tfds:"
"""Stands in front of the name of any other set of TensorFlow Datasets."""

_FAILURES = (
    OSError,
    ValueError,
    AssertionError,
    ImportError,
    tfds.download.DownloadError,
    tfds.core.download.download_manager.NonMatchingChecksumError,
)


def find_builder(name: str, data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """Finds a set of TensorFlow Datasets.

    Args:
        name: `NAME` or `NAME/CONFIG`, with or without `PREFIX`.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The set, which need not be prepared.

    Raises:
        DataError: If there is none of this name; names some that are spelt alike.
    """
    tfds_name = name.removeprefix(PREFIX)
    try:
        return tfds.builder(tfds_name, data_dir=data_dir)
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        close = difflib.get_close_matches(tfds_name, tfds.list_builders(), n=5)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        message = f"TensorFlow Datasets does not know {tfds_name!r}: {reason}{hint}"
        raise data_error(name, message) from error


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
