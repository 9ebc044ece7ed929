"""Validation and test examples for data sets that come without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from data.recordings import SPEAKERS
from data.splits import DataError, Problem, Split, Splits, concatenate
from data.texts import LABEL_SETS

_DRAWS = 100
_TOLERANCE = 0.5
_MAX_LISTED = 20


def complete(
    name: str,
    labels: tuple[str, ...],
    given: Mapping[str, Split],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    test_speakers: Sequence[str] = (),
    problems: Sequence[Problem] = (),
) -> Splits:
    """Cuts the splits that a data set lacks out of its training split.

    The cut is stratified by class. Of texts with any number of labels it is random, but leaves a
    training example to every label; without labels it is random. Where all speakers are known and
    about the right part can be cut so that each is in one split only, it is, with classes as equal
    as that allows.

    Args:
        name: What the user asked for.
        labels: Class names in index order, none if the examples have no labels.
        given: The splits that exist, by `"train"`, `"validation"` and `"test"`.
        validation_fraction: Part of the stored training examples that becomes `validation`.
        test_fraction: Part of the stored training examples that becomes `test`.
        seed: Fixes which examples are held out.
        test_speakers: Speakers of whom every example becomes `test`, whatever its split; what else
            was to be tested on is trained on. `()` leaves the splits as they are.
        problems: Warnings met while reading.

    Returns:
        All three splits.

    Raises:
        DataError: If there is no training split, a class has too few examples to divide, or
            nobody is a speaker of this name.
    """
    if test_speakers:
        given = _test_on(name, given, test_speakers)
    if "train" not in given:
        raise DataError([Problem("error", name, f"no training examples, only {sorted(given)}")])
    fractions = {"test": test_fraction, "validation": validation_fraction}
    missing = {split: part for split, part in fractions.items() if split not in given}
    _require_fractions(missing)
    if labels and LABEL_SETS not in given["train"].annotations:
        _require_divisible(name, labels, given["train"], missing)
    splits = dict(given)
    for split, part in missing.items():
        held_out = round(part * given["train"].size)
        splits["train"], splits[split] = _cut(name, splits["train"], split, held_out, seed)
    return Splits(name, labels, **splits, problems=tuple(problems))


def _require_fractions(missing: Mapping[str, float]) -> None:
    if any(part <= 0 for part in missing.values()) or sum(missing.values()) >= 1:
        raise ValueError(
            f"The fractions held out of the training examples are {dict(missing)}; "
            "each must be above 0 and their sum below 1."
        )


def _require_divisible(
    name: str, labels: tuple[str, ...], train: Split, missing: Mapping[str, float]
) -> None:
    needed = 1 + len(missing)
    counts = np.bincount(train.labels, minlength=len(labels))
    few = np.flatnonzero((counts > 0) & (counts < needed))
    short = [f"{labels[index]!r} ({counts[index]})" for index in few]
    if missing and short:
        message = (
            f"cannot cut {' and '.join(missing)} out of the training examples: every class needs "
            f"at least {needed}, too few in {', '.join(short)}; add examples, remove the class "
            "or give these splits yourself"
        )
        raise DataError([Problem("error", name, message)])


def _test_on(
    name: str, given: Mapping[str, Split], test_speakers: Sequence[str]
) -> dict[str, Split]:
    everything = concatenate(list(given.values()))
    names = np.repeat(list(given), [split.size for split in given.values()])
    speakers = [speaker.decode() for speaker in everything.annotations[SPEAKERS]]
    nobody = [speaker for speaker in test_speakers if speaker not in speakers]
    if nobody:
        known = sorted(set(speakers) - {""})
        shown = ", ".join(known[:_MAX_LISTED]) + (", …" if len(known) > _MAX_LISTED else "")
        message = (
            f"no speaker {' or '.join(map(repr, nobody))}; the speakers are {shown or 'not known'}"
        )
        raise DataError([Problem("error", name, message)])
    tested = np.isin(speakers, test_speakers)
    rows = {
        "train": ~tested & (names != "validation"),
        "validation": ~tested & (names == "validation"),
        "test": tested,
    }
    return {split: everything.take(mask) for split, mask in rows.items() if mask.any()}


def _cut(name: str, train: Split, split: str, size: int, seed: int) -> tuple[Split, Split]:
    if LABEL_SETS in train.annotations:
        return _hold_out_sets(name, train, split, size, seed)
    speakers = train.annotations.get(SPEAKERS, np.array([b""]))
    if all(speakers):
        held_out = _speakers_to_hold_out(speakers, train.labels, size, seed)
        if held_out.any():
            return train.take(~held_out), train.take(held_out)
    return _hold_out(name, train, split, size, seed)


def _speakers_to_hold_out(
    speakers: np.ndarray, labels: np.ndarray, size: int, seed: int
) -> np.ndarray:
    """Marks the examples of the best of many draws of speakers; none if no draw is good enough.

    A good one has about the right size and leaves training examples to every class.
    """
    names, index = np.unique(speakers, return_inverse=True)
    counts = np.zeros((len(names), labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (index, labels), 1)
    total = counts.sum(axis=0)
    generator = np.random.default_rng(seed)
    best, chosen = np.inf, names[:0]
    for order in (generator.permutation(len(names)) for _ in range(_DRAWS)):
        held_out = np.cumsum(counts[order], axis=0)
        misfit = np.abs(held_out - total * size / len(labels)).sum(axis=1)
        sized = np.abs(held_out.sum(axis=1) - size) <= _TOLERANCE * size
        leaves_all = ((held_out < total) | (total == 0)).all(axis=1)
        misfit = np.where(sized & leaves_all, misfit, np.inf)
        if misfit.min() < best:
            best, chosen = misfit.min(), order[: misfit.argmin() + 1]
    return np.isin(index, chosen)


def _hold_out(name: str, train: Split, split: str, size: int, seed: int) -> tuple[Split, Split]:
    try:
        kept, held_out = train_test_split(
            np.arange(train.size), test_size=size, stratify=train.labels, random_state=seed
        )
    except ValueError as error:
        message = (
            f"cannot cut {size} of {train.size} training examples as {split}: {error} "
            "Give a larger fraction, more examples or the split itself."
        )
        raise DataError([Problem("error", name, message)]) from error
    return train.take(kept), train.take(held_out)


def _hold_out_sets(
    name: str, train: Split, split: str, size: int, seed: int
) -> tuple[Split, Split]:
    sets = train.annotations[LABEL_SETS]
    left = sets.sum(axis=0)
    held_out: list[int] = []
    for row in np.random.default_rng(seed).permutation(train.size):
        if len(held_out) < size and (left[sets[row] > 0] > 1).all():
            held_out.append(row)
            left -= sets[row]
    if not 0 < len(held_out) == size:
        message = (
            f"cannot cut {size} of {train.size} training examples as {split} and leave one to "
            "every label; give a larger fraction, more examples or the split itself"
        )
        raise DataError([Problem("error", name, message)])
    return train.take(np.delete(np.arange(train.size), held_out)), train.take(np.array(held_out))
