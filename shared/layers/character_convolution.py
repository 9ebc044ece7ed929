"""Features of words from their characters, so that unknown words are not alike."""

from collections.abc import Sequence

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("quartet")
class CharacterConvolution(layers.Layer):
    """Looks for patterns of characters anywhere in a word.

    Kim et al., "Character-aware neural language models", 2016, https://arxiv.org/abs/1508.06615:
    characters are embedded, convolved, and each filter keeps its largest value over the word.

    Args:
        buckets: int. Number of character ids, 0 for padding included.
        size: int. Numbers that stand for a character.
        filters: int. Patterns of each width.
        widths: Widths of the patterns, in characters.

    Call arguments:
        characters: int32 `(batch, time, characters)`, padded with 0.

    Returns:
        Float `(batch, time, filters * len(widths))`, not negative; 0 for a word of padding alone.
    """

    def __init__(
        self, buckets: int, size: int, filters: int, widths: Sequence[int], **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.buckets = buckets
        self.size = size
        self.filters = filters
        self.widths = tuple(widths)
        self.embedding = layers.Embedding(buckets, size, dtype=self.dtype_policy)
        self.convolutions = [
            layers.Conv1D(filters, width, padding="same", dtype=self.dtype_policy)
            for width in widths
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embedding.build((None, input_shape[-1]))
        for convolution in self.convolutions:
            convolution.build((None, input_shape[-1], self.size))

    def call(self, characters: keras.KerasTensor) -> keras.KerasTensor:
        batch, time, length = ops.shape(characters)
        flat = ops.reshape(characters, (-1, length))
        exists = ops.expand_dims(ops.not_equal(flat, 0), -1)
        x = self.embedding(flat)
        x = x * ops.cast(exists, x.dtype)
        # A value below 0 found nothing, and nothing is found where there is no character.
        features = [
            ops.max(ops.where(exists, convolution(x), 0), axis=1)
            for convolution in self.convolutions
        ]
        found = ops.relu(ops.concatenate(features, axis=-1))
        return ops.reshape(found, (batch, time, self.filters * len(self.widths)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:2], self.filters * len(self.widths))

    def get_config(self) -> dict[str, object]:
        sizes = {"buckets": self.buckets, "size": self.size, "filters": self.filters}
        return {**super().get_config(), **sizes, "widths": list(self.widths)}
