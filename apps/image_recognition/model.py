"""The network: convolutions with residual blocks, from a picture to one logit per class."""

import keras
from keras import layers

from apps.image_recognition.config import Config
from apps.image_recognition.preprocess import ImagePreprocess


def build_model(
    config: Config, preprocess: ImagePreprocess, labels: tuple[str, ...]
) -> keras.Model:
    """A residual network (He et al., https://arxiv.org/abs/1512.03385) for small pictures.

    Args:
        config: Widths, blocks per stage, activation, dropout.
        preprocess: Its output is the network's input.
        labels: One output per label.

    Returns:
        A model from float32 `(batch, height, width, channels)` to logits float32
        `(batch, classes)`.
    """
    settings = config.model
    inputs = keras.Input((preprocess.height, preprocess.width, preprocess.channels), name="image")
    x = _convolution(inputs, settings.widths[0], settings.activation)
    for stage, width in enumerate(settings.widths):
        for block in range(settings.blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _residual_block(x, width, stride, settings.activation)
    x = layers.GlobalAveragePooling2D()(x)
    if settings.dropout:
        x = layers.Dropout(settings.dropout)(x)
    logits = layers.Dense(len(labels), dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="image_recognition")


def _convolution(
    x: keras.KerasTensor, width: int, activation: str | None, stride: int = 1, kernel: int = 3
) -> keras.KerasTensor:
    x = layers.Conv2D(
        width, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.Activation(activation)(x) if activation else x


def _residual_block(
    x: keras.KerasTensor, width: int, stride: int, activation: str
) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, None, stride, kernel=1)
    x = _convolution(x, width, activation, stride)
    x = _convolution(x, width, None)
    return layers.Activation(activation)(layers.Add()([x, shortcut]))
