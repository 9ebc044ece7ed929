"""Everything that is wrong with texts and their labels, found in one pass before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from data.checks import Survey, by_name, counted, imbalance
from data.public_texts import is_public
from data.splits import DataError, Problem, Split, Splits
from data.texts import LABEL_SETS

_FEW = 5
_MAX_LISTED = 10
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class _Scan:
    """A split without its empty texts, and what tells its texts apart."""

    split: Split
    fingerprints: list[int]
    first_rows: dict[int, int]
    problems: list[Problem]


def survey_texts(splits: Splits, several: bool) -> Survey:
    """Reads every text once and lists all that is wrong.

    Errors are splits without texts, training data that knows one answer only, and, in data of
    one's own, labels to validate or test on that training lacks. All else is a warning: published
    sets do repeat texts. Texts are the same whatever their case; those without labels are
    checked for repetition only.

    Args:
        splits: Texts as `data.load` gives them.
        several: Whether a text may have any number of labels.

    Returns:
        The problems, and the texts that are not empty. Nothing is raised for bad data; call
        `raise_errors` for that once the warnings have been shown.
    """
    scans = {name: _scan(name, split) for name, split in by_name(splits).items()}
    train, validation, test = (scan.split for scan in scans.values())
    kept = replace(splits, train=train, validation=validation, test=test)
    problems = [
        *splits.problems,
        *(problem for scan in scans.values() for problem in scan.problems),
        *(_label_problems(kept, several) if splits.labels else ()),
        *_repetitions("train", scans["train"], splits.labels),
        *_leaks(scans),
    ]
    return Survey(kept, tuple(problems), {})


def check_texts(split: Split, labels: Sequence[str]) -> tuple[Split, list[Problem]]:
    """Leaves out the texts that a model cannot be measured on.

    Args:
        split: Texts.
        labels: Their labels in index order, none if they have none.

    Returns:
        The texts that are not empty, and a warning for each of the others and of texts that
        occur more than once.

    Raises:
        DataError: None can be used.
    """
    scan = _scan("data", split)
    if not scan.split.size:
        raise DataError(scan.problems)
    return scan.split, [*scan.problems, *_repetitions("data", scan, labels)]


def _scan(name: str, split: Split) -> _Scan:
    texts = (text.decode().casefold().strip() for text in _inputs(split))
    # Strings are not kept: their hashes take a hundredth of the memory.
    hashes = [hash(text) if text else None for text in texts]
    usable = np.array([value is not None for value in hashes], dtype=bool)
    problems = [
        Problem("warning", where, "left out: empty text") for where in split.ids[~usable].tolist()
    ]
    if not usable.any():
        problems.append(Problem("error", name, f"none of {split.size} texts can be used"))
    fingerprints = [value for value in hashes if value is not None]
    first_rows: dict[int, int] = {}
    for row, fingerprint in enumerate(fingerprints):
        first_rows.setdefault(fingerprint, row)
    return _Scan(split.take(usable), fingerprints, first_rows, problems)


def _inputs(split: Split) -> Iterator[bytes]:
    for batch in split.source(split.rows, None).batch(_BATCH).as_numpy_iterator():
        yield from batch["input"]


def _label_problems(splits: Splits, several: bool) -> Iterator[Problem]:
    labels, train = splits.labels, splits.train
    counts = {
        name: _label_counts(split, len(labels), several) for name, split in by_name(splits).items()
    }
    if train.size and not np.ptp(_answers(train), axis=0).any():
        message = f"every text is labelled {_shown(train, 0, labels)}; expected two labels or more"
        yield Problem("error", "train", message)
    yield from _unknown_labels("validation", splits.validation, counts, splits)
    yield from _unknown_labels("test", splits.test, counts, splits)
    untested = _listed(labels, (counts["train"] > 0) & (counts["test"] == 0))
    if untested:
        yield Problem(
            "warning", "test", f"labels that are not measured for lack of texts: {untested}"
        )
    few = _listed(labels, (counts["train"] > 0) & (counts["train"] < _FEW))
    if few:
        yield Problem("warning", "train", f"labels of fewer than {_FEW} texts: {few}; add some")
    yield from imbalance("label", labels, counts["train"])


def _unknown_labels(
    name: str, split: Split, counts: Mapping[str, np.ndarray], splits: Splits
) -> Iterator[Problem]:
    """Finds labels that cannot be learnt; nobody can add training texts to a published set."""
    severity: Literal["error", "warning"] = "warning" if is_public(splits.name) else "error"
    unknown = (counts[name] > 0) & (counts["train"] == 0)
    for index in np.flatnonzero(unknown).tolist():
        where = str(split.ids[_rows_with(split, index)[0]])
        message = (
            f"label {splits.labels[index]!r}, {counts[name][index]} in {name}, is not in train; "
            "add training texts that have it, or leave it out"
        )
        yield Problem(severity, where, message)


def _label_counts(split: Split, classes: int, several: bool) -> np.ndarray:
    if several:
        return split.annotations[LABEL_SETS].sum(axis=0).astype(np.int64)
    return np.bincount(split.labels, minlength=classes)


def _answers(split: Split) -> np.ndarray:
    """What shall be told of each text: its label, or for each label whether it has it."""
    return split.annotations.get(LABEL_SETS, split.labels[:, None])


def _rows_with(split: Split, index: int) -> np.ndarray:
    sets = split.annotations.get(LABEL_SETS)
    return np.flatnonzero(split.labels == index if sets is None else sets[:, index])


def _shown(split: Split, row: int, labels: Sequence[str]) -> str:
    sets = split.annotations.get(LABEL_SETS)
    present = split.labels[[row]] if sets is None else np.flatnonzero(sets[row])
    return " and ".join(repr(labels[index]) for index in present.tolist()) or "nothing"


def _listed(labels: Sequence[str], mask: np.ndarray) -> str:
    names = [repr(labels[index]) for index in np.flatnonzero(mask).tolist()]
    more = len(names) - _MAX_LISTED
    shown = ", ".join(names[:_MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def _repetitions(name: str, scan: _Scan, labels: Sequence[str]) -> Iterator[Problem]:
    """Finds texts that occur twice, with the same answer or, worse, with another."""
    ids, answers = scan.split.ids, _answers(scan.split)
    repeated, conflicts = [], []
    for row, fingerprint in enumerate(scan.fingerprints):
        first = scan.first_rows[fingerprint]
        if (answers[row] != answers[first]).any():
            here, there = (_shown(scan.split, place, labels) for place in (row, first))
            conflicts.append(f"{ids[row]} {here} ({ids[first]} {there})")
        elif row != first:
            repeated.append(f"{ids[row]} ({ids[first]})")
    yield from counted(name, conflicts, "texts that repeat an earlier one with another label")
    yield from counted(name, repeated, "texts that repeat an earlier one")


def _leaks(scans: Mapping[str, _Scan]) -> Iterator[Problem]:
    for (earlier_name, earlier), (later_name, later) in combinations(scans.items(), 2):
        pairs = [
            f"{name} ({earlier.split.ids[earlier.first_rows[fingerprint]]})"
            for fingerprint, name in zip(later.fingerprints, later.split.ids, strict=True)
            if fingerprint in earlier.first_rows
        ]
        yield from counted(later_name, pairs, f"texts that are in {earlier_name} too")
