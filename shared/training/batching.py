"""Batches in an order that seed and epoch fix, so that a run can go on where it stopped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from shared.training.app import Split
from shared.training.sequence_batching import Row, SequenceBatches, Vary

Prepare = Callable[[dict[str, tf.Tensor]], tuple[Any, Any]]


class Batches(Protocol):
    """Model inputs and targets of one split."""

    @property
    def examples(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    def epoch(self, seed: int | None = None, skip: int = 0) -> Iterator[tuple[Any, Any]]:
        """Batches `(inputs, targets)` in the order of `seed`, or without one in a fixed order;
        without the first `skip`. A shuffled epoch leaves out a last batch that is not full."""
        ...


def steps_per_epoch(batches: Batches) -> int:
    """Steps of one shuffled epoch: full batches, or a single smaller one."""
    return max(batches.examples // batches.batch_size, 1)


@dataclass(frozen=True)
class CachedBatches:
    """Batches of examples that are in memory, preprocessed.

    Args:
        inputs: array `(examples, …)`.
        targets: array `(examples, …)`.
        batch_size: int. Examples per batch.
    """

    inputs: np.ndarray
    targets: np.ndarray
    batch_size: int

    @property
    def examples(self) -> int:
        return len(self.targets)

    def epoch(
        self, seed: int | None = None, skip: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.arange(self.examples)
        if seed is not None:
            used = min(steps_per_epoch(self) * self.batch_size, self.examples)
            order = np.random.default_rng(seed).permutation(self.examples)[:used]
        for start in range(skip * self.batch_size, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield self.inputs[rows], self.targets[rows]


@dataclass(frozen=True)
class StreamedBatches:
    """Batches of examples that are read, decoded and preprocessed anew in every epoch."""

    split: Split
    prepare: Prepare
    batch_size: int

    @property
    def examples(self) -> int:
        return self.split.size

    def epoch(self, seed: int | None = None, skip: int = 0) -> Iterator[tuple[Any, Any]]:
        examples = self.split.read(seed).skip(skip * self.batch_size)
        drop = seed is not None and self.examples >= self.batch_size
        prepared = examples.map(self.prepare, tf.data.AUTOTUNE, deterministic=True)
        inputs, targets = prepared.element_spec
        batches = prepared.padded_batch(
            self.batch_size,
            padding_values=(_padding(inputs, 0), _padding(targets, -1)),
            drop_remainder=drop,
        )
        return iter(batches.prefetch(2))


def build_batches(
    split: Split,
    prepare: Prepare,
    batch_size: int,
    cache_gigabytes: float,
    vary: Vary | None = None,
) -> Batches:
    """Batches from memory if the preprocessed examples fit there, else streamed.

    Args:
        split: Raw examples.
        prepare: In-graph map from a raw example to `(input, target)`. Arrays of unknown length,
            as those of sentences have, are padded: inputs with 0, targets with -1.
        batch_size: Examples per batch.
        cache_gigabytes: Largest size of the preprocessed examples that is kept in memory.
        vary: Changes the examples of each shuffled epoch; only for sequences in memory.

    Returns:
        Batches with the same content and the same contract either way; in memory, sequences of
        like length share a batch.
    """
    prepared = split.read(None).map(prepare, tf.data.AUTOTUNE, deterministic=True)
    specs = tf.nest.flatten(prepared.element_spec)
    if not all(spec.shape.is_fully_defined() for spec in specs):
        return _sequence_batches(split, prepare, prepared, batch_size, cache_gigabytes, vary)
    example_bytes = sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)
    if split.size * example_bytes > cache_gigabytes * 1e9:
        return StreamedBatches(split, prepare, batch_size)
    inputs, targets = _arrays(prepared, split.size)
    return CachedBatches(inputs, targets, batch_size)


def _sequence_batches(
    split: Split,
    prepare: Prepare,
    prepared: tf.data.Dataset,
    batch_size: int,
    cache_gigabytes: float,
    vary: Vary | None,
) -> Batches:
    rows: list[Row] = []
    size = 0
    for element in prepared.as_numpy_iterator():
        rows.append(tf.nest.flatten(element))
        size += sum(array.nbytes for array in rows[-1])
        if size > cache_gigabytes * 1e9:
            return StreamedBatches(split, prepare, batch_size)
    return SequenceBatches(rows, prepared.element_spec, batch_size, vary=vary)


def _padding(specs: Any, value: int) -> Any:
    return tf.nest.map_structure(lambda spec: tf.constant(value, spec.dtype), specs)


def _arrays(prepared: tf.data.Dataset, size: int) -> list[np.ndarray]:
    arrays = [
        np.empty((size, *spec.shape), spec.dtype.as_numpy_dtype) for spec in prepared.element_spec
    ]
    start = 0
    for batch in prepared.batch(1024).as_numpy_iterator():
        for array, values in zip(arrays, batch, strict=True):
            array[start : start + len(values)] = values
        start += len(batch[0])
    return arrays
