"""From file bytes to the network's input, in graph: one code for training and for serving."""

from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from apps.image_recognition.config import Config
from shared.export.isolation import isolate_rows
from shared.layers.image_decoding import decode_image, decode_inspected_image, inspect_image
from shared.training.app import Survey

ADAPT_EXAMPLES = 4096
SMALLEST_SIZE, LARGEST_SIZE = 16, 64
DAMAGED = "corrupt: the image data is cut off or damaged"
ONE_PIXEL = tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()


@keras.saving.register_keras_serializable("quartet")
class ImagePreprocess(keras.layers.Layer):
    """Resizes and standardises pictures.

    Args:
        height: int. Height of the output in pixels.
        width: int. Width of the output in pixels.
        channels: int. 1 for grey, 3 for RGB.
        fit: str. `crop`, `pad` or `stretch` pictures of another aspect ratio.

    Call arguments:
        images: uint8 `(batch, height, width, 1 or 3)`, of any height and width.

    Returns:
        float32 `(batch, height, width, channels)`; after `adapt`, each channel has mean 0 and
        variance 1 over the pictures it was adapted to.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        fit: Literal["crop", "pad", "stretch"] = "crop",
        **kwargs: str,
    ) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.channels = channels
        self.fit = fit
        self.resize = keras.layers.Resizing(
            height,
            width,
            antialias=True,
            crop_to_aspect_ratio=fit == "crop",
            pad_to_aspect_ratio=fit == "pad",
            dtype="float32",
        )
        self.standardize = keras.layers.Normalization(axis=-1, dtype="float32")
        self.standardize.build((None, height, width, channels))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes nothing: all sizes are known before the first call, and `adapt` needs the state."""

    def adapt(self, images: tf.data.Dataset) -> None:
        """Measures mean and variance per channel over batches of uint8 pictures."""
        resized = images.map(self._resize_and_color, tf.data.AUTOTUNE)
        self.standardize.adapt(resized.unbatch().batch(256))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self.standardize(self._resize_and_color(images))

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel that the pictures were adapted to."""
        mean, variance = self.standardize.mean, self.standardize.variance
        return np.ravel(mean), np.sqrt(np.maximum(np.ravel(variance), 1e-7))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.height, self.width, self.channels)

    def get_config(self) -> dict[str, object]:
        sizes = {"height": self.height, "width": self.width, "channels": self.channels}
        return {**super().get_config(), **sizes, "fit": self.fit}

    def _resize_and_color(self, images: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(images)
        rgb = tf.broadcast_to(tf.cast(images, tf.float32), tf.concat([shape[:3], [3]], axis=0))
        rgb = tf.ensure_shape(rgb, (None, None, None, 3))
        fits = tf.reduce_all(shape[1:3] == (self.height, self.width))
        resized = tf.cond(fits, lambda: rgb, lambda: self.resize(rgb))
        resized = tf.ensure_shape(resized, (None, self.height, self.width, 3))
        return tf.image.rgb_to_grayscale(resized) if self.channels == 1 else resized


def build_preprocess(config: Config, survey: Survey) -> ImagePreprocess:
    """The preprocess layer, adapted to training pictures.

    Args:
        config: Size, colour and fit.
        survey: Checked data; its facts give sizes and channels where the configuration does not.
    """
    height, width = _choose_size(config, survey)
    grey = config.image.color == "grey" or (
        config.image.color == "auto" and bool(np.all(survey.facts["channels"] <= 2))
    )
    preprocess = ImagePreprocess(height, width, 1 if grey else 3, config.image.fit)
    examples = survey.splits.train.read(config.seed).take(ADAPT_EXAMPLES)
    files = examples.map(lambda example: example["input"])
    preprocess.adapt(files.map(lambda file: decode_inspected_image(file)[None], tf.data.AUTOTUNE))
    return preprocess


def inspect(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """What the data check asks of each file: readable to the last pixel, and of what size.

    Args:
        image_bytes: string scalar.

    Returns:
        Scalars: `error` string, `height`, `width`, `channels` int32.

    Raises:
        tf.errors.InvalidArgumentError: The image data behind the header is damaged.
    """
    header = inspect_image(image_bytes)
    with tf.control_dependencies([decode_inspected_image(_readable(image_bytes, header["error"]))]):
        return {
            name: tf.identity(header[name]) for name in ("error", "height", "width", "channels")
        }


def decode(image_bytes: tf.Tensor, preprocess: ImagePreprocess) -> tuple[tf.Tensor, tf.Tensor]:
    """From files to model inputs; a file that cannot be read harms no other.

    Args:
        image_bytes: string `(batch,)`.
        preprocess: The adapted layer.

    Returns:
        float32 `(batch, height, width, channels)`, without meaning where a file cannot be read,
        and its error, string `(batch,)`: empty, or a short code and the reason.
    """
    shape = (preprocess.height, preprocess.width, preprocess.channels)
    outputs = (tf.TensorSpec(shape, tf.float32), tf.TensorSpec((), tf.string))

    def prepare(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        error = inspect_image(row)["error"]
        image = preprocess(decode_inspected_image(_readable(row, error))[None])[0]
        return tf.ensure_shape(image, shape), error

    (images, errors), valid = isolate_rows(prepare, image_bytes, outputs)
    return images, tf.where(valid, errors, DAMAGED)


def thumbnail(image_bytes: bytes, size: int = 160) -> bytes:
    """A PNG of an image file, at most `size` pixels high and wide."""
    image = decode_image(tf.constant(image_bytes))
    if max(image.shape[:2]) > size:
        resized = tf.image.resize(image, (size, size), preserve_aspect_ratio=True, antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    return tf.io.encode_png(image).numpy()


def _readable(image_bytes: tf.Tensor, error: tf.Tensor) -> tf.Tensor:
    """The file, or one black pixel in place of a file that must not be decoded."""
    return tf.where(error == "", image_bytes, ONE_PIXEL)


def _choose_size(config: Config, survey: Survey) -> tuple[int, int]:
    if config.image.size:
        return config.image.size, config.image.size
    heights, widths = survey.facts["height"], survey.facts["width"]
    uniform = np.ptp(heights) == 0 and np.ptp(widths) == 0
    if uniform and max(heights[0], widths[0]) <= LARGEST_SIZE:
        return max(int(heights[0]), SMALLEST_SIZE), max(int(widths[0]), SMALLEST_SIZE)
    return LARGEST_SIZE, LARGEST_SIZE
