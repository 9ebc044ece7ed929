"""Public sets of images, from scikit-learn and TensorFlow Datasets."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data.digits import LABELS, read_digits
from data.public_sets import Stored, data_error, find_builder, prepare
from data.readers import SPLIT_NAMES
from data.splits import Problem, Split, from_bytes, from_stream

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")

_MAX_EXAMPLES_IN_MEMORY = 200_000
_MAX_BYTES_IN_MEMORY = 2**30
_SHUFFLE_BYTES = 2**28


def read_public_images(name: str, data_dir: str | None = None) -> Stored:
    """Reads a public set of labelled images.

    Args:
        name: One of `NAMES`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The class names, the published splits, and warnings.

    Raises:
        DataError: If the set is unknown, cannot be downloaded or is not one of labelled images.
    """
    if name == "digits":
        return Stored(LABELS, {"train": read_digits()}, [])
    builder = find_builder(name, data_dir)
    labels = _class_names(name, builder)
    prepare(name, builder)
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
    return Stored(labels, given, problems)


def _class_names(name: str, builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    features = dict(builder.info.features.items())
    image, label = features.get("image"), features.get("label")
    if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
        return tuple(label.names)
    found = ", ".join(f"{key} ({type(value).__name__})" for key, value in features.items())
    message = f"expected features image (Image) and label (ClassLabel), found {found}"
    raise data_error(name, message)


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
