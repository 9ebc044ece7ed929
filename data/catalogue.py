"""Data sets by name, from scikit-learn and TensorFlow Datasets, and the user's own by path."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data.digits import LABELS, read_digits
from data.hold_out import complete
from data.readers import SPLIT_NAMES, group_by_split, table
from data.readers.image_folder import read_image_folder
from data.splits import (
    DataError,
    Problem,
    Split,
    Splits,
    concatenate,
    from_bytes,
    from_stream,
)

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")

_PREFIX = "tfds:"
_MAX_EXAMPLES_IN_MEMORY = 200_000
_MAX_BYTES_IN_MEMORY = 2**30
_SHUFFLE_BYTES = 2**28


def load(
    name_or_path: str,
    *,
    kind: str = "image",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    data_dir: str | None = None,
) -> Splits:
    """Loads a labelled data set as splits of file bytes.

    Args:
        name_or_path: One of `NAMES`; `tfds:NAME` or `tfds:NAME/CONFIG` for any other image
            classification set of TensorFlow Datasets; or the path of your own data, a folder of
            class folders or a `.csv`, `.tsv` or `.jsonl` table. A known name wins over a path of
            the same name, which `./` in front tells apart.
        kind: What the examples are; `"image"`.
        validation_fraction: Part of the training examples to validate on where the data set has
            no such split.
        test_fraction: Part of the training examples to test on where the data set has no such
            split.
        seed: Fixes which examples these are.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The three splits and the class names.

    Raises:
        DataError: If the data set is unknown, cannot be downloaded or is not usable; the message
            lists everything that is wrong.
        ValueError: If `kind` or a fraction is out of range.
    """
    if kind != "image":
        raise ValueError(f"kind={kind!r} is not supported; expected 'image'.")
    labels, given, problems = _stored_splits(name_or_path, data_dir)
    return complete(
        name_or_path,
        labels,
        given,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        problems=problems,
    )


Stored = tuple[tuple[str, ...], dict[str, Split], list[Problem]]


def load_all(name_or_path: str, *, data_dir: str | None = None) -> tuple[tuple[str, ...], Split]:
    """Loads every labelled example of a data set, whatever its split.

    Args:
        name_or_path: As for `load`.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The class names in index order, and the examples.

    Raises:
        DataError: If the data set is unknown, cannot be downloaded or is not usable.
    """
    labels, given, _ = _stored_splits(name_or_path, data_dir)
    return labels, concatenate(list(given.values()))


def _stored_splits(name_or_path: str, data_dir: str | None) -> Stored:
    if name_or_path == "digits":
        return LABELS, {"train": read_digits()}, []
    if name_or_path in NAMES or name_or_path.startswith(_PREFIX):
        return _read_tfds(name_or_path, data_dir)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        files, problems = read_image_folder(path)
        return *group_by_split(files), problems
    if path.is_file() and path.suffix.lower() in table.SUFFIXES:
        return *group_by_split(table.read_table(path)), []
    found = "is neither a folder nor a table" if path.exists() else "is no known name and no path"
    raise _error(
        name_or_path,
        f"{found}; expected one of {', '.join(NAMES)}, tfds:NAME[/CONFIG], a folder with one "
        f"folder of images per class, or a table named {' '.join(table.SUFFIXES)} with the columns "
        "path, label and optionally split",
    )


def _read_tfds(name: str, data_dir: str | None) -> Stored:
    builder = _builder(name, data_dir)
    labels = _class_names(name, builder)
    _prepare(name, builder)
    read = _read_into_memory if _fits_in_memory(builder) else _stream
    given, problems = {}, []
    for stored_name in builder.info.splits:
        if stored_name not in SPLIT_NAMES:
            continue
        split = read(builder, name, stored_name)
        if split.labels.min() < 0:
            where = f"{name}/{stored_name}"
            problems.append(Problem("warning", where, "not used: it is published without labels"))
        else:
            given[SPLIT_NAMES[stored_name]] = split
    return labels, given, problems


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    tfds_name = name.removeprefix(_PREFIX)
    try:
        return tfds.builder(tfds_name, data_dir=data_dir)
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        close = difflib.get_close_matches(tfds_name, tfds.list_builders(), n=5)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        message = f"TensorFlow Datasets does not know {tfds_name!r}: {reason}{hint}"
        raise _error(name, message) from error


def _class_names(name: str, builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    features = dict(builder.info.features.items())
    image, label = features.get("image"), features.get("label")
    if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
        return tuple(label.names)
    found = ", ".join(f"{key} ({type(value).__name__})" for key, value in features.items())
    raise _error(name, f"expected features image (Image) and label (ClassLabel), found {found}")


def _prepare(name: str, builder: tfds.core.DatasetBuilder) -> None:
    try:
        builder.download_and_prepare()
    except (OSError, ValueError, AssertionError, ImportError, tfds.download.DownloadError) as error:
        message = (
            f"not in {builder.data_path} and could not be prepared there: {error}. Run once on a "
            "connected machine and copy that folder, or pass the data_dir that holds the set"
        )
        raise _error(name, message) from error


def _fits_in_memory(builder: tfds.core.DatasetBuilder) -> bool:
    splits = [builder.info.splits[name] for name in builder.info.splits if name in SPLIT_NAMES]
    return (
        sum(split.num_examples for split in splits) <= _MAX_EXAMPLES_IN_MEMORY
        and sum(split.num_bytes for split in splits) <= _MAX_BYTES_IN_MEMORY
    )


def _read_into_memory(builder: tfds.core.DatasetBuilder, name: str, stored_name: str) -> Split:
    inputs: list[bytes] = []
    labels: list[int] = []
    for batch in _encoded(builder, stored_name).batch(1024).as_numpy_iterator():
        inputs.extend(batch["image"])
        labels.extend(batch["label"])
    return from_bytes(inputs, labels, _ids(name, stored_name, len(labels)))


def _stream(builder: tfds.core.DatasetBuilder, name: str, stored_name: str) -> Split:
    examples = _encoded(builder, stored_name)
    batches = examples.map(lambda example: example["label"]).batch(1024).as_numpy_iterator()
    labels = np.concatenate(list(batches)).tolist()
    mean_bytes = builder.info.splits[stored_name].num_bytes / len(labels)
    return from_stream(
        lambda: examples.map(lambda example: example["image"]),
        labels,
        _ids(name, stored_name, len(labels)),
        shuffle_buffer=max(1000, int(_SHUFFLE_BYTES / max(mean_bytes, 1))),
    )


def _encoded(builder: tfds.core.DatasetBuilder, stored_name: str) -> tf.data.Dataset:
    return builder.as_dataset(
        split=stored_name,
        decoders={"image": tfds.decode.SkipDecoding()},
        shuffle_files=False,
    )


def _ids(name: str, stored_name: str, size: int) -> list[str]:
    return [f"{name}/{stored_name}/{row}" for row in range(size)]


def _error(where: str, message: str) -> DataError:
    return DataError([Problem("error", where, message)])
