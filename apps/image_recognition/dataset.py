"""Where pictures come from, and how training pictures are varied."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import data
from apps.image_recognition.config import AugmentationConfig, Config, mirrors
from apps.image_recognition.preprocess import ImagePreprocess, inspect
from shared.layers.image_decoding import decode_inspected_image
from shared.training.app import Split


def load(config: Config) -> data.Survey:
    """Reads and checks the data that `config.data` names.

    Returns:
        Splits of file bytes and labels without unreadable files, and every problem found.

    Raises:
        data.DataError: The data cannot be found or split; lists everything that is wrong.
    """
    splits = data.load(
        config.data,
        kind="image",
        validation_fraction=config.split.validation_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
    )
    return data.survey(splits, inspect, max_unreadable=config.split.max_unreadable)


def load_split(
    config: Config, split: str
) -> tuple[tuple[str, ...], data.Split, Sequence[data.Problem]]:
    """Reads examples to evaluate a model on.

    Args:
        config: The configuration that the model was trained with, and the data to read.
        split: `train`, `validation` or `test`, as training would cut them, or `all`.

    Returns:
        The data's labels, the readable examples and the problems found.
    """
    if split == "all":
        labels, examples = data.load_all(config.data)
        return labels, *data.check_readable(examples, inspect)
    survey = load(config)
    return survey.splits.labels, getattr(survey.splits, split), survey.problems


def _shift(share: float, preprocess: ImagePreprocess) -> dict[str, object]:
    """By whole pixels: interpolation would blur small pictures."""
    return {
        "height_factor": max(share, 1 / preprocess.height),
        "width_factor": max(share, 1 / preprocess.width),
        "fill_mode": "nearest",
        "interpolation": "nearest",
    }


def _erase(largest: float) -> dict[str, object]:
    """In a quarter of the pictures: Keras draws the probability between 0 and `factor`."""
    return {"factor": 0.5, "scale": (min(0.02, largest), largest), "fill_value": 0.0}


def _rand_augment(wanted: AugmentationConfig, preprocess: ImagePreprocess) -> dict[str, object]:
    """Keras' layer over the values that standardised pictures have."""
    mean, deviation = preprocess.statistics()
    value_range = (float(np.min(-mean / deviation)), float(np.max((255 - mean) / deviation)))
    return {"value_range": value_range, "factor": wanted.rand_augment / 10}


def prepare(
    config: Config, preprocess: ImagePreprocess, labels: tuple[str, ...]
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]:
    """A map from a raw example to the network's input and target.

    Returns:
        A function of `{"input", "label"}` that gives float32 `(height, width, channels)` and the
        label as float32 `(classes,)`.
    """
    shape = (preprocess.height, preprocess.width, preprocess.channels)

    def prepare_example(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = preprocess(decode_inspected_image(example["input"])[None])[0]
        return tf.ensure_shape(image, shape), tf.one_hot(example["label"], len(labels))

    return prepare_example


@keras.saving.register_keras_serializable("quartet")
class Augmentation(keras.layers.Layer):
    """Keras' augmentation layers in a row, over pictures and targets together.

    Args:
        layers: Layers that take and give `{"images", "labels"}`.

    Call arguments:
        images: float32 `(batch, height, width, channels)`.
        targets: float32 `(batch, classes)`.
        training: bool. Without it nothing is changed.
    """

    def __init__(self, layers: list[keras.layers.Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = layers

    def call(
        self, images: tf.Tensor, targets: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        batch = {"images": images, "labels": targets}
        for layer in self.layers:
            batch = layer(batch, training=training)
        return batch["images"], batch["labels"]


def build_augmentation(
    config: Config, preprocess: ImagePreprocess, labels: tuple[str, ...]
) -> Augmentation | None:
    """The random changes of training pictures, or None if all are off."""
    wanted = config.augmentation
    available = (
        (mirrors(config, labels), keras.layers.RandomFlip, {"mode": "horizontal"}),
        (wanted.shift, keras.layers.RandomTranslation, _shift(wanted.shift, preprocess)),
        (wanted.rand_augment, keras.layers.RandAugment, _rand_augment(wanted, preprocess)),
        (wanted.cutout, keras.layers.RandomErasing, _erase(wanted.cutout)),
        (wanted.mixup, keras.layers.MixUp, {"alpha": wanted.mixup}),
        (wanted.cutmix, keras.layers.CutMix, {"factor": wanted.cutmix}),
    )
    layers = [layer(**arguments) for is_on, layer, arguments in available if is_on]
    return Augmentation(layers) if layers else None


def write_samples(split: Split, labels: tuple[str, ...], folder: Path) -> list[str]:
    """Writes the first pictures of a split as files named after their class, for `predict`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, example in enumerate(split.read(None).take(4).as_numpy_iterator()):
        label = "".join(c if c.isalnum() else "-" for c in labels[example["label"]])
        suffix = "png" if example["input"].startswith(b"\x89PNG") else "jpg"
        path = folder / f"{index + 1}-{label}.{suffix}"
        path.write_bytes(example["input"])
        paths.append(str(path))
    return paths
