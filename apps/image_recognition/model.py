"""The network: convolutions with residual blocks, from a picture to one logit per class."""

from typing import Any

import keras
from keras import layers, ops

from apps.image_recognition.config import Config, mirrors
from apps.image_recognition.preprocess import ImagePreprocess
from shared.losses import build_classification_loss

# Keeps the first logits small, so that training starts from even probabilities.
LOGIT_SCALE = 0.125


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
    x = inputs
    for stage, (width, blocks) in enumerate(zip(settings.widths, settings.blocks, strict=True)):
        x = _convolution(x, width, settings.activation, stride=1 if stage == 0 else 2)
        for _ in range(blocks):
            x = _residual_block(x, settings.activation)
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dropout(settings.dropout)(x)
    x = layers.Dense(len(labels), use_bias=False, dtype="float32", name="logits")(x)
    logits = layers.Rescaling(LOGIT_SCALE, dtype="float32")(x)
    network = keras.Model(inputs, logits, name="network")
    if not (settings.mirror_average and mirrors(config, labels)):
        return network
    return keras.Model(inputs, MirrorAverage(network)(inputs), name="mirror_average")


def build_loss(config: Config, model: keras.Model) -> keras.losses.Loss:
    """The loss of the model's logits."""
    return build_classification_loss(config.loss)


@keras.saving.register_keras_serializable("quartet")
class MirrorAverage(layers.Layer):
    """At prediction, the mean of a network's logits for a picture and for its mirror image.

    Args:
        network: Model from `(batch, height, width, channels)` to `(batch, classes)`.
    """

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        logits = self.network(images, training=training)
        if training:
            return logits
        return (logits + self.network(ops.flip(images, axis=2), training=False)) / 2


def _convolution(
    x: keras.KerasTensor, width: int, activation: str, stride: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(
        width, 3, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.Activation(activation)(x)


def _residual_block(x: keras.KerasTensor, activation: str) -> keras.KerasTensor:
    width = x.shape[-1]
    change = _convolution(_convolution(x, width, activation), width, activation)
    return layers.Add()([x, change])
