"""The serving graph: file bytes or pixels in, label strings out."""

import numpy as np
import tensorflow as tf

from apps.image_recognition.config import Config
from apps.image_recognition.dataset import prepare
from apps.image_recognition.preprocess import decode
from shared.export.classes import CLASSES, answer_classes, calibrate_classes
from shared.export.verification import Expected, Tensor
from shared.export.warmup import Request
from shared.layers.image_decoding import decode_image
from shared.training.app import Trained
from shared.training.batching import Batches

ANSWER = {**CLASSES, "error": Tensor("string")}
SIGNATURES = {
    "serving_default": Expected({"image_bytes": Tensor("string")}, ANSWER),
    "pixels": Expected({"image": Tensor("uint8", "batch height width channels")}, ANSWER),
}


def build_signatures(
    trained: Trained[Config],
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The functions that a server offers.

    Returns:
        `serving_default`, from `image_bytes` string `(batch,)`, and `pixels`, from `image` uint8
        `(batch, height, width, channels)`. Both give `label`, `score` `(batch,)`, `labels`,
        `scores` `(batch, k)`, `probabilities` `(batch, classes)` and `error` `(batch,)`; a row
        with an error has an empty label and zeros.
    """

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images, errors = decode(image_bytes, trained.preprocess)
        return _answer(trained, images, errors)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None), tf.uint8, name="image")])
    def pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
        images = trained.preprocess(image)
        return _answer(trained, images, tf.fill(tf.shape(images)[:1], ""))

    return {"serving_default": serving_default, "pixels": pixels}


def calibrate(
    trained: Trained[Config], validation: Batches
) -> tuple[dict[str, float], dict[str, float]]:
    """Fits the temperature that makes the scores honest on validation pictures.

    Returns:
        `temperature`, and the validation metrics of the scores that it gives.
    """
    return calibrate_classes(trained, validation)


def reference(trained: Trained[Config], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The in-memory model's answers for files, `(batch,)` bytes, by the path of training."""
    prepare_example = prepare(trained.config, trained.preprocess, trained.labels)
    files = tf.data.Dataset.from_tensor_slices(inputs)
    images = files.map(lambda file: prepare_example({"input": file, "label": 0})[0])
    logits = np.concatenate([trained.model.predict_on_batch(b) for b in images.batch(64)])
    probabilities = tf.nn.softmax(logits / trained.calibration["temperature"]).numpy()
    labels = np.array([label.encode() for label in trained.labels], dtype=object)
    return {"probabilities": probabilities, "label": labels[np.argmax(probabilities, axis=-1)]}


def build_warmup(files: np.ndarray) -> list[Request]:
    """Warm-up requests from image files: alone, as a batch, and as pixels."""
    pixels = decode_image(tf.constant(files[0]))[None]
    return [
        ("serving_default", {"image_bytes": files[:1]}),
        ("serving_default", {"image_bytes": files[:8]}),
        ("pixels", {"image": pixels}),
    ]


def _answer(trained: Trained[Config], images: tf.Tensor, errors: tf.Tensor) -> dict[str, tf.Tensor]:
    # Convolutions give a wrong shape for an empty batch on some processors.
    rows = tf.shape(images)[0]
    padded = tf.pad(images, [[0, tf.maximum(1 - rows, 0)], [0, 0], [0, 0], [0, 0]])
    logits = trained.model(padded, training=False)[:rows]
    temperature = trained.calibration["temperature"]
    return {
        **answer_classes(logits, trained.labels, temperature, errors == ""),
        "error": errors,
    }
