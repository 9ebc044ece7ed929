"""Spectrograms to fewer and richer steps."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

FREQUENCY_STRIDE = 2
_FIRST_KERNEL, _KERNEL = 5, 3


@keras.saving.register_keras_serializable("quartet")
class ConvolutionalSubsampling(keras.layers.Layer):
    """Convolutions over time and frequency that make a spectrogram shorter.

    Each is normalised over the batch and followed by SiLU, and halves the frequencies, as in
    Amodei et al., "Deep Speech 2", 2016, https://arxiv.org/abs/1512.02595, section 3.4. It is
    padded so that the steps of a row do not depend on how far its batch is padded, which
    `padding="same"` does not give.

    Args:
        filters: int. Filters of each convolution.
        time_strides: Stride in time of each convolution.

    Call arguments:
        inputs: float `(batch, frames, features)`, 0 where the mask is false.
        mask: bool `(batch, frames)`, in each row True up to its length and False behind.
        training: Whether to normalise by the batch's own mean and variance.

    Returns:
        Float `(batch, steps, filters * bands)`, 0 behind a row's end, where `steps` is the frames
        divided by each stride in turn, rounded up; so is a row's own number of them, and
        `subsample_mask` tells which they are.
    """

    def __init__(self, filters: int, time_strides: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.time_strides = tuple(time_strides)
        sizes = [_FIRST_KERNEL, *[_KERNEL] * (len(self.time_strides) - 1)]
        self.paddings = [layers.ZeroPadding2D(((size - 1) // 2, size // 2)) for size in sizes]
        self.convolutions = [
            layers.Conv2D(filters, size, strides=(stride, FREQUENCY_STRIDE), use_bias=False)
            for size, stride in zip(sizes, self.time_strides, strict=True)
        ]
        self.normalizations = [layers.BatchNormalization(momentum=0.9) for _ in sizes]
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (*input_shape, 1)
        for padding, convolution, normalization in self._blocks():
            padded = padding.compute_output_shape(shape)
            convolution.build(padded)
            shape = convolution.compute_output_shape(padded)
            normalization.build(shape)

    def call(
        self,
        inputs: keras.KerasTensor,
        mask: keras.KerasTensor | None = None,
        training: bool = False,
    ) -> keras.KerasTensor:
        x = ops.expand_dims(inputs, -1)
        for (padding, convolution, normalization), stride in zip(
            self._blocks(), self.time_strides, strict=True
        ):
            x = ops.silu(normalization(convolution(padding(x)), training=training))
            if mask is not None:
                mask = mask[:, ::stride]
                x = x * ops.cast(mask, x.dtype)[:, :, None, None]
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], x.shape[2] * x.shape[3]))

    def compute_mask(self, inputs: keras.KerasTensor, mask: keras.KerasTensor | None) -> None:
        # That of the steps has another length: `subsample_mask`.
        return None

    def subsample_mask(self, mask: keras.KerasTensor) -> keras.KerasTensor:
        """The mask of the steps `(batch, steps)` for that of the frames."""
        for stride in self.time_strides:
            mask = mask[:, ::stride]
        return mask

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], **_: Any
    ) -> tuple[int | None, ...]:
        batch, frames, features = input_shape
        assert features, "The number of features must be known."
        bands = features
        for stride in self.time_strides:
            frames = None if frames is None else -(-frames // stride)
            bands = -(-bands // FREQUENCY_STRIDE)
        return batch, frames, bands * self.filters

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "time_strides": list(self.time_strides),
        }

    def _blocks(self) -> Any:
        return zip(self.paddings, self.convolutions, self.normalizations, strict=True)
