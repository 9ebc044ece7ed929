"""Batches of sequences of like length, so that little of a batch is padding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

LENGTH_JITTER = 2.0

Row = list[np.ndarray]
Vary = Callable[[Sequence[Row], np.random.Generator], Sequence[Row]]
"""Changes the examples of one epoch, drawing from the generator."""


@dataclass(frozen=True)
class SequenceBatches:
    """Batches of sequences that are in memory, preprocessed.

    Sequences of like length share a batch: an epoch is ordered by length, with some chance in it,
    cut into batches, and the batches are shuffled.

    Args:
        rows: For each example, the arrays of `structure` in the order of `tf.nest.flatten`; those
            of unknown length have it as their first dimension.
        structure: `(inputs, targets)` as nested tensor specs of one example. Inputs are padded
            with 0, targets with -1.
        batch_size: int. Examples per batch.
        length_multiple: int. Batches are padded to a multiple of it, so that there are few shapes.
        vary: Changes the examples of a shuffled epoch, if given.
    """

    rows: Sequence[Row]
    structure: Any
    batch_size: int
    length_multiple: int = 2
    vary: Vary | None = None

    @property
    def examples(self) -> int:
        return len(self.rows)

    def epoch(self, seed: int | None = None, skip: int = 0) -> Iterator[tuple[Any, Any]]:
        """Batches as `Batches.epoch` gives them; without a seed by length."""
        rows, batches = self._in_order() if seed is None else self._shuffled(seed)
        for batch in batches[skip:]:
            yield self._pad([rows[row] for row in batch])

    def _in_order(self) -> tuple[Sequence[Row], list[np.ndarray]]:
        return self.rows, self._cut(np.argsort(self._lengths(self.rows), kind="stable"))

    def _shuffled(self, seed: int) -> tuple[Sequence[Row], list[np.ndarray]]:
        generator = np.random.default_rng(seed)
        rows = self.vary(self.rows, generator) if self.vary else self.rows
        full = max(self.examples // self.batch_size, 1) * self.batch_size
        used = min(full, self.examples)
        chosen = generator.permutation(self.examples)[:used]
        lengths = self._lengths(rows)[chosen] + generator.uniform(0, LENGTH_JITTER, used)
        batches = self._cut(chosen[np.argsort(lengths)])
        return rows, [batches[index] for index in generator.permutation(len(batches))]

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]

    def _lengths(self, rows: Sequence[Row]) -> np.ndarray:
        column = next(i for i, spec in enumerate(self._specs()) if spec.shape[:1] == [None])
        return np.array([len(row[column]) for row in rows])

    def _specs(self) -> list[tf.TensorSpec]:
        return tf.nest.flatten(self.structure)

    def _pad(self, rows: Sequence[Row]) -> tuple[Any, Any]:
        inputs = len(tf.nest.flatten(self.structure[0]))
        columns = [
            self._pad_column([row[index] for row in rows], spec, 0 if index < inputs else -1)
            for index, spec in enumerate(self._specs())
        ]
        return tf.nest.pack_sequence_as(self.structure, columns)

    def _pad_column(self, values: Row, spec: tf.TensorSpec, padding: int) -> np.ndarray:
        if spec.shape.is_fully_defined():
            return np.stack(values)
        longest = max(max(map(len, values)), 1)
        length = -(-longest // self.length_multiple) * self.length_multiple
        shape = (len(values), length, *values[0].shape[1:])
        padded = np.full(shape, padding, spec.dtype.as_numpy_dtype)
        for row, value in zip(padded, values, strict=True):
            row[: len(value)] = value
        return padded
