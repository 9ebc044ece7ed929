"""Validation and test examples for data sets that come without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from data.splits import DataError, Problem, Split, Splits
from data.texts import LABEL_SETS


def complete(
    name: str,
    labels: tuple[str, ...],
    given: Mapping[str, Split],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    problems: Sequence[Problem] = (),
) -> Splits:
    """Cuts the splits that a data set lacks out of its training split.

    The cut is stratified by class. Of texts with any number of labels it is random, but leaves a
    training example to every label; without labels it is random.

    Args:
        name: What the user asked for.
        labels: Class names in index order, none if the examples have no labels.
        given: The splits that exist, by `"train"`, `"validation"` and `"test"`.
        validation_fraction: Part of the stored training examples that becomes `validation`.
        test_fraction: Part of the stored training examples that becomes `test`.
        seed: Fixes which examples are held out.
        problems: Warnings met while reading.

    Returns:
        All three splits.

    Raises:
        DataError: If there is no training split, or a class has too few examples to divide.
    """
    if "train" not in given:
        raise DataError([Problem("error", name, f"no training examples, only {sorted(given)}")])
    fractions = {"test": test_fraction, "validation": validation_fraction}
    missing = {split: part for split, part in fractions.items() if split not in given}
    _require_fractions(missing)
    cut = _hold_out_sets if LABEL_SETS in given["train"].annotations else _hold_out
    if labels and cut is _hold_out:
        _require_divisible(name, labels, given["train"], missing)
    splits = dict(given)
    for split, part in missing.items():
        held_out = round(part * given["train"].size)
        splits["train"], splits[split] = cut(name, splits["train"], split, held_out, seed)
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
