"""Everything that is wrong with a data set, found in one pass before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import tensorflow as tf

from data.splits import DataError, Problem, Split, Splits, concatenate

__all__ = ["Problem", "Survey", "survey"]

Inspect = Callable[[tf.Tensor], dict[str, tf.Tensor]]

_MAX_NAMED = 10
_MAX_COUNTED = 5
_MAX_IMBALANCE = 10
_BATCH = 256
_DAMAGED = b"corrupt: the data behind the header is cut off or damaged"
# The largest number of buckets that tf.strings.to_hash_bucket_fast accepts.
_BUCKETS = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in a data set.

    Args:
        splits: The data set without its unreadable examples.
        problems: All errors and warnings.
        facts: What was measured in the training examples; of images what `inspect` gives,
            `(size of splits.train,)` each, in stored order.
    """

    splits: Splits
    problems: tuple[Problem, ...]
    facts: dict[str, np.ndarray]

    def raise_errors(self) -> None:
        """Stops here if the data set cannot be trained on.

        Raises:
            DataError: Lists all problems that are errors.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            raise DataError(errors)


@dataclass(frozen=True, eq=False)
class Scan:
    """A split without its unreadable examples.

    Args:
        split: The readable examples.
        fingerprints: int64 `(size,)`, equal where inputs are.
        facts: What `inspect` measured, `(size,)` each.
        problems: Warnings of what was left out, and an error if that is too much.
    """

    split: Split
    fingerprints: np.ndarray
    facts: dict[str, np.ndarray]
    problems: list[Problem]


def survey(splits: Splits, inspect: Inspect, *, max_unreadable: float = 0.05) -> Survey:
    """Reads every example once and lists all that is wrong.

    Args:
        splits: The data set.
        inspect: Maps the bytes of one file, a tf.string scalar, to tensors inside a graph:
            `"error"`, a tf.string scalar that is empty if the file is fine, and scalar facts.
            A file for which it raises is unreadable too.
        max_unreadable: Part of a split that may be unreadable before that is an error.

    Returns:
        The problems, the facts and the readable examples. Nothing is raised for bad data; call
        `raise_errors` for that once the warnings have been shown.
    """
    kept, scans = scan_all(splits, inspect, max_unreadable)
    problems = [
        *splits.problems,
        *(problem for scan in scans.values() for problem in scan.problems),
        *class_problems(kept),
        *label_conflicts(scans["train"]),
        *leaks(scans),
    ]
    return Survey(kept, tuple(problems), scans["train"].facts)


def scan_all(
    splits: Splits, inspect: Inspect, max_unreadable: float
) -> tuple[Splits, dict[str, Scan]]:
    """Reads every example once.

    Args:
        splits: The data set.
        inspect: As for `survey`.
        max_unreadable: As for `survey`.

    Returns:
        The readable examples; and what was found in each split, by name.
    """
    parts = by_name(splits)
    # In one pass: making a pipeline may take longer than reading a small set.
    columns = _inspect_all(concatenate(list(parts.values())), inspect)
    ends = np.cumsum([part.size for part in parts.values()])
    scans = {
        name: _scan(
            name,
            part,
            {key: values[end - part.size : end] for key, values in columns.items()},
            max_unreadable,
        )
        for (name, part), end in zip(parts.items(), ends, strict=True)
    }
    train, validation, test = (scan.split for scan in scans.values())
    return replace(splits, train=train, validation=validation, test=test), scans


def check_readable(split: Split, inspect: Inspect) -> tuple[Split, list[Problem]]:
    """Leaves out the examples that cannot be read.

    Args:
        split: Examples.
        inspect: As for `survey`.

    Returns:
        The readable examples, and a warning for each of the others.

    Raises:
        DataError: None can be read.
    """
    scan = scan_readable(split, inspect)
    return scan.split, scan.problems


def scan_readable(split: Split, inspect: Inspect) -> Scan:
    """What was found in examples that are not divided into splits; else as `check_readable`."""
    scan = _scan("data", split, _inspect_all(split, inspect), max_unreadable=1.0)
    errors = [problem for problem in scan.problems if problem.severity == "error"]
    if errors:
        raise DataError(errors)
    return scan


def by_name(splits: Splits) -> dict[str, Split]:
    """The three splits, by name, in the order in which they are used."""
    return {"train": splits.train, "validation": splits.validation, "test": splits.test}


def _scan(name: str, split: Split, columns: dict[str, np.ndarray], max_unreadable: float) -> Scan:
    errors = columns.pop("error")
    readable = errors == b""
    problems = [
        Problem("warning", where, f"unreadable, left out: {error.decode(errors='replace')}")
        for where, error in zip(split.ids[~readable], errors[~readable], strict=True)
    ]
    unreadable = len(problems)
    if not readable.any():
        problems.append(Problem("error", name, f"none of {split.size} examples can be read"))
    elif unreadable > max_unreadable * split.size:
        message = (
            f"{unreadable} of {split.size} examples cannot be read, more than {max_unreadable:.0%};"
            " repair or remove them"
        )
        problems.append(Problem("error", name, message))
    facts = {key: values[readable] for key, values in columns.items()}
    return Scan(split.take(readable), facts.pop("fingerprint"), facts, problems)


def _inspect_all(split: Split, inspect: Inspect) -> dict[str, np.ndarray]:
    def row(index: tf.Tensor, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        fingerprint = tf.strings.to_hash_bucket_fast(example["input"], _BUCKETS)
        return {**inspect(example["input"]), "fingerprint": fingerprint, "index": index}

    rows = split.read().enumerate().map(row, num_parallel_calls=tf.data.AUTOTUNE)
    columns = {
        key: np.zeros(split.size, spec.dtype.as_numpy_dtype)
        for key, spec in rows.element_spec.items()
    }
    columns["error"][:] = _DAMAGED
    whole = rows.ignore_errors(log_warning=False)
    for batch in whole.batch(_BATCH).prefetch(1).as_numpy_iterator():
        for key, values in batch.items():
            columns[key][batch["index"]] = values
    del columns["index"]
    return columns


def class_problems(splits: Splits) -> Iterator[Problem]:
    """What is wrong with the classes: one alone, rare ones, and those that a split lacks."""
    counts = {
        name: np.bincount(split.labels, minlength=len(splits.labels))
        for name, split in by_name(splits).items()
    }
    train = counts["train"]
    if np.count_nonzero(train) == 1:
        message = f"only the class {splits.labels[train.argmax()]!r}; expected two or more classes"
        yield Problem("error", "train", message)
    for name in ("validation", "test"):
        unseen = (counts[name] > 0) & (train == 0)
        if unseen.any():
            message = f"classes that train lacks: {_names(splits, unseen)}; add training examples"
            yield Problem("error", name, message)
    nowhere = np.sum(list(counts.values()), axis=0) == 0
    if nowhere.any():
        yield Problem("warning", "train", f"classes without examples: {_names(splits, nowhere)}")
    untested = (train > 0) & (counts["test"] == 0)
    if untested.any():
        message = f"classes that are not measured for lack of examples: {_names(splits, untested)}"
        yield Problem("warning", "test", message)
    if (train == 1).any():
        yield Problem("warning", "train", f"classes of one example: {_names(splits, train == 1)}")
    yield from imbalance("class", splits.labels, train)


def imbalance(noun: str, labels: Sequence[str], counts: np.ndarray) -> Iterator[Problem]:
    """Warns if one label has more than ten times the training examples of another.

    Args:
        noun: What a label is called.
        labels: The labels in index order.
        counts: int `(labels,)`, the number of training examples of each.
    """
    if not counts.any():
        return
    largest = int(counts.argmax())
    smallest = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    if counts[largest] > _MAX_IMBALANCE * counts[smallest]:
        message = (
            f"the {noun} {labels[largest]!r} has {counts[largest]} examples, "
            f"{labels[smallest]!r} only {counts[smallest]}; weight them or add some"
        )
        yield Problem("warning", "train", message)


def _names(splits: Splits, mask: np.ndarray) -> str:
    return ", ".join(repr(splits.labels[index]) for index in np.flatnonzero(mask))


def label_conflicts(train: Scan, noun: str = "label") -> Iterator[Problem]:
    """Warns of inputs that occur twice with different labels."""
    labels, ids = train.split.labels, train.split.ids
    order = np.lexsort((labels, train.fingerprints))
    first, second = order[:-1], order[1:]
    same_input = train.fingerprints[first] == train.fingerprints[second]
    conflicts = np.flatnonzero(same_input & (labels[first] != labels[second]))
    pairs = [(ids[first[i]], f"the same file as {ids[second[i]]}") for i in conflicts]
    yield from at_most(pairs, "train", f"with another {noun}")


def leaks(scans: Mapping[str, Scan]) -> Iterator[Problem]:
    """Warns of inputs that are in two splits."""
    for (earlier_name, earlier), (later_name, later) in combinations(scans.items(), 2):
        _, first, second = np.intersect1d(
            earlier.fingerprints, later.fingerprints, return_indices=True
        )
        pairs = [
            (later.split.ids[j], f"the same file as {earlier.split.ids[i]}")
            for i, j in sorted(zip(first, second, strict=True), key=lambda pair: pair[1])
        ]
        yield from at_most(pairs, later_name, f"in both {earlier_name} and {later_name}")


def at_most(
    pairs: Sequence[tuple[str, str]], where: str, what: str, noun: str = "files"
) -> Iterator[Problem]:
    """Warns of the first ten, and counts the others.

    Args:
        pairs: The id of each example, and what is said of it.
        where: The split to count the others for.
        what: What is said of all.
        noun: What the examples are.
    """
    for name, message in pairs[:_MAX_NAMED]:
        yield Problem("warning", name, f"{message}, {what}")
    if len(pairs) > _MAX_NAMED:
        more = len(pairs) - _MAX_NAMED
        yield Problem("warning", where, f"{more} more {noun} {what}")


def counted(where: str, found: Sequence[str], what: str) -> Iterator[Problem]:
    """Warns once of all, as published sets have hundreds of them.

    Args:
        where: The split.
        found: What is concerned; the first five are named.
        what: What is said of them.
    """
    if found:
        shown = ", ".join(found[:_MAX_COUNTED]) + (", …" if len(found) > _MAX_COUNTED else "")
        yield Problem("warning", where, f"{what}, {len(found)} in all: {shown}")
