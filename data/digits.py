"""The handwritten digits that come with scikit-learn: the data set that needs no download."""

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from data.splits import Split, from_bytes

LABELS = tuple("0123456789")

_LARGEST_VALUE = 16


def read_digits() -> Split:
    """Reads the 1797 grey images of `(8, 8)` pixels as PNG files.

    Returns:
        All examples in stored order; pixel values 0 to 16 are spread over 0 to 255.

    References:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    digits = load_digits()
    pixels = np.round(digits.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    images = [tf.io.encode_png(image[..., np.newaxis]).numpy() for image in pixels]
    return from_bytes(images, digits.target, [f"digits/all/{row}" for row in range(len(images))])
