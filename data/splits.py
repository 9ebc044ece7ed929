"""Splits of raw examples, readable again and again in an order that a seed fixes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import tensorflow as tf

Source = Callable[[np.ndarray, int | None], tf.data.Dataset]
"""`(rows, seed)` to `{"input", "row"}` elements: the inputs at these sorted rows, once each."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a data set.

    Args:
        severity: `"error"` when training must not start, `"warning"` when a person should know.
        where: The file, `file:line`, example id, split or data set that is concerned.
        message: What was found, what was expected and how to fix it.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str


class DataError(ValueError):
    """Everything that makes a data set unusable, in one message.

    Args:
        problems: At least one problem; all are kept in `problems`.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{problem.where}: {problem.message}" for problem in problems]
        heading = [f"{len(lines)} problems in the data:"] if len(lines) > 1 else []
        super().__init__("\n".join(heading + lines))


@dataclass(frozen=True, eq=False)
class Split:
    """Examples of one split, kept as rows of a source.

    Args:
        labels: int64 `(size,)`, class index of each example in stored order.
        ids: str `(size,)`, what a person needs to find each example.
        rows: int64 `(size,)`, sorted positions of the examples in the source.
        source: Reads the inputs at given rows.
        annotations: Further columns `(size, …)` by name, such as the slots of sentences.
    """

    labels: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    source: Source
    annotations: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.rows)

    def read(self, seed: int | None = None) -> tf.data.Dataset:
        """Reads every example once, in the same order each time for the same seed.

        Args:
            seed: Fixes the order; `None` is the stored order.

        Returns:
            A dataset of known cardinality, of `{"input": tf.string, "label": tf.int64,
            "id": tf.string}` scalars, where the input is the bytes of a file or a text, and of
            the row of each annotation under its name.
        """
        rows = tf.constant(self.rows, tf.int64)
        columns = {name: tf.constant(column) for name, column in self.annotations.items()}
        columns["label"] = tf.constant(self.labels, tf.int64)
        columns["id"] = _string_tensor(list(self.ids))

        def example(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            position = tf.searchsorted(rows, element["row"][tf.newaxis])[0]
            values = {name: column[position] for name, column in columns.items()}
            return {"input": element["input"], **values}

        return self.source(self.rows, seed).map(example, num_parallel_calls=tf.data.AUTOTUNE)

    def take(self, positions: np.ndarray) -> Split:
        """Keeps some examples, in stored order.

        Args:
            positions: int64 indices into this split, or a bool mask `(size,)`.

        Returns:
            The split of these examples.
        """
        chosen = np.sort(np.arange(self.size)[positions])
        annotations = {name: column[chosen] for name, column in self.annotations.items()}
        return Split(
            self.labels[chosen], self.ids[chosen], self.rows[chosen], self.source, annotations
        )

    def without(self, ids: Collection[str]) -> Split:
        """Leaves examples out.

        Args:
            ids: Ids of the examples to leave out; ids that are not in the split change nothing.

        Returns:
            The split of the other examples.
        """
        unwanted = set(ids)
        return self.take(np.array([name not in unwanted for name in self.ids], dtype=bool))


@dataclass(frozen=True)
class Splits:
    """A labelled data set.

    Args:
        name: What the user asked for: `"digits"`, `"tfds:oxford_flowers102"`, `"/path"`.
        labels: Class names in index order.
        train: Examples to learn from.
        validation: Examples to choose the model by.
        test: Examples to measure the chosen model on.
        problems: Warnings met while reading, such as files that were ignored.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    problems: tuple[Problem, ...] = ()


def from_bytes(
    inputs: Sequence[bytes],
    labels: Sequence[int],
    ids: Sequence[str],
    annotations: Mapping[str, np.ndarray] | None = None,
) -> Split:
    """Makes a split of file bytes or UTF-8 texts that are held in memory.

    Args:
        inputs: Content of each file, or each text.
        labels: Class index of each file.
        ids: What a person needs to find each example.
        annotations: Further columns `(size, …)` by name.

    Returns:
        A split whose seeded orders are exact permutations.
    """
    contents = tf.constant(inputs, tf.string, (len(inputs),))
    split = _all_rows(labels, ids, _from_rows(lambda row: contents[row]))
    return replace(split, annotations=annotations or {})


def from_files(paths: Sequence[str], labels: Sequence[int]) -> Split:
    """Makes a split of files that are opened only when they are read.

    Args:
        paths: Path of each file, also the example's id.
        labels: Class index of each file.

    Returns:
        A split whose seeded orders are exact permutations.
    """
    names = _string_tensor(paths)
    return _all_rows(labels, paths, _from_rows(lambda row: tf.io.read_file(names[row])))


def from_function(read: Callable[[int], bytes], labels: Sequence[int], ids: Sequence[str]) -> Split:
    """Makes a split whose inputs a Python function reads, several at a time.

    Args:
        read: Maps the position of an example to its input, from any thread.
        labels: Class index of each example.
        ids: What a person needs to find each example.

    Returns:
        A split whose seeded orders are exact permutations.
    """

    def load(row: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [row], tf.string), ())

    return _all_rows(labels, ids, _from_rows(load))


def from_stream(
    stream: Callable[[], tf.data.Dataset],
    labels: Sequence[int],
    ids: Sequence[str],
    shuffle_buffer: int,
) -> Split:
    """Makes a split of a stored stream that is too large to hold in memory.

    Args:
        stream: Returns all inputs as tf.string scalars, each time in the same order.
        labels: Class index of each input.
        ids: What a person needs to find each example.
        shuffle_buffer: Number of inputs held to draw from; a seeded order moves an example
            forward by at most this many places, so the stream must be stored well mixed.

    Returns:
        A split that reads the stream from its start each time.
    """
    stored = len(labels)

    def source(rows: np.ndarray, seed: int | None) -> tf.data.Dataset:
        mask = np.zeros(stored, dtype=bool)
        mask[rows] = True
        kept = tf.constant(mask)
        examples = stream().enumerate().filter(lambda row, _: kept[row])
        if seed is not None:
            examples = examples.shuffle(shuffle_buffer, seed, reshuffle_each_iteration=False)
        examples = examples.map(lambda row, value: {"input": value, "row": row})
        return examples.apply(tf.data.experimental.assert_cardinality(len(rows)))

    return _all_rows(labels, ids, source)


def concatenate(parts: Sequence[Split]) -> Split:
    """Joins splits, in order.

    Args:
        parts: At least one split.

    Returns:
        A split of all their examples; a seed orders each part and mixes them.
    """
    starts = np.cumsum([0, *(part.size for part in parts)])

    def source(rows: np.ndarray, seed: int | None) -> tf.data.Dataset:
        of_part = np.searchsorted(starts, rows, side="right") - 1
        order = of_part if seed is None else np.random.default_rng(seed).permutation(of_part)
        datasets = [
            _read_part(part, starts[index], rows[of_part == index], seed)
            for index, part in enumerate(parts)
        ]
        choices = tf.data.Dataset.from_tensor_slices(order)
        examples = tf.data.Dataset.choose_from_datasets(datasets, choices)
        return examples.apply(tf.data.experimental.assert_cardinality(len(rows)))

    labels = [label for part in parts for label in part.labels]
    split = _all_rows(labels, [name for part in parts for name in part.ids], source)
    annotations = {
        name: np.concatenate([part.annotations[name] for part in parts])
        for name in parts[0].annotations
    }
    return replace(split, annotations=annotations)


def _read_part(part: Split, start: int, rows: np.ndarray, seed: int | None) -> tf.data.Dataset:
    part_rows = tf.constant(part.rows, tf.int64)

    def renumber(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        position = tf.searchsorted(part_rows, element["row"][tf.newaxis], out_type=tf.int64)[0]
        return {**element, "row": position + start}

    return part.source(part.rows[rows - start], seed).map(renumber)


def _from_rows(load: Callable[[tf.Tensor], tf.Tensor]) -> Source:
    def source(rows: np.ndarray, seed: int | None) -> tf.data.Dataset:
        order = rows if seed is None else np.random.default_rng(seed).permutation(rows)
        return tf.data.Dataset.from_tensor_slices(order).map(
            lambda row: {"input": load(row), "row": row},
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return source


def _all_rows(labels: Sequence[int], ids: Sequence[str], source: Source) -> Split:
    return Split(
        labels=np.asarray(labels, dtype=np.int64),
        ids=np.asarray(ids, dtype=object),
        rows=np.arange(len(labels), dtype=np.int64),
        source=source,
    )


def _string_tensor(strings: Sequence[str]) -> tf.Tensor:
    # File names need not be UTF-8; fsencode gives back the bytes that the file system knows.
    return tf.constant([os.fsencode(text) for text in strings], tf.string, (len(strings),))
