"""Examples without a word, cut from long recordings of background noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from data.audio import seconds
from data.checks import by_name
from data.recordings import SILENCE, Recording, group_recordings, in_order, place
from data.splits import DataError, Problem, Split, Splits, concatenate

_PIECE_SECONDS = 1.0
_STRETCHES = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


def add_silence(
    splits: Splits, noise: Sequence[Recording], fraction: float, seed: int = 0
) -> Splits:
    """Adds examples of `silence` to keywords, of stretches of the noise that no two splits share.

    Args:
        splits: Keywords.
        noise: Long recordings without a word.
        fraction: Examples to add, as a part of those that are there.
        seed: Fixes where they are cut.

    Returns:
        The splits with examples of one second, or less where a stretch is shorter.

    Raises:
        DataError: If a recording of noise cannot be read.
    """
    added = {
        name: with_silence(splits.labels, split, noise, fraction, _STRETCHES[name], (seed, number))
        for number, (name, split) in enumerate(by_name(splits).items())
    }
    labels, train = added["train"]
    return replace(
        splits, labels=labels, train=train, validation=added["validation"][1], test=added["test"][1]
    )


def with_silence(
    labels: tuple[str, ...],
    split: Split,
    noise: Sequence[Recording],
    fraction: float,
    stretch: tuple[float, float] = (0.0, 1.0),
    seed: Sequence[int] = (0,),
) -> tuple[tuple[str, ...], Split]:
    """Adds examples of `silence` to one split.

    Args:
        labels: The classes in index order.
        split: Keywords.
        noise: Long recordings without a word.
        fraction: Examples to add, as a part of those that are there.
        stretch: Start and end of the part of the noise to use, as fractions.
        seed: Fixes where they are cut.

    Returns:
        The classes with `silence`, and the split with the examples.

    Raises:
        DataError: If a recording of noise cannot be read.
    """
    if not noise or not fraction:
        return labels, split
    labels = in_order({*labels, SILENCE})
    size = max(1, round(fraction * split.size))
    pieces = list(_pieces(noise, size, stretch, np.random.default_rng(seed)))
    _, cut = group_recordings(pieces, "keywords")
    numbers = np.full(size, labels.index(SILENCE))
    return labels, concatenate([split, replace(cut["train"], labels=numbers)])


def _pieces(
    noise: Sequence[Recording],
    size: int,
    stretch: tuple[float, float],
    generator: np.random.Generator,
) -> Iterator[Recording]:
    """Cuts each recording as often as its share of all noise says."""
    lengths = _lengths(noise)
    for row in generator.choice(len(noise), size, p=lengths / lengths.sum()):
        first, last = (noise[row].start + part * lengths[row] for part in stretch)
        start = round(generator.uniform(first, max(first, last - _PIECE_SECONDS)), 3)
        end = min(start + _PIECE_SECONDS, last)
        path = noise[row].path
        yield Recording(path, SILENCE, start, end, where=place(path, start, end))


def _lengths(noise: Sequence[Recording]) -> np.ndarray:
    lengths: list[float] = []
    problems: list[Problem] = []
    for recording in noise:
        try:
            end = seconds(recording.path) if recording.end is None else recording.end
        except DataError as error:
            problems += error.problems
            continue
        lengths.append(end - recording.start)
        if lengths[-1] <= 0:
            problems.append(Problem("error", recording.path, "noise without samples; remove it"))
    if problems:
        raise DataError(problems)
    return np.array(lengths)
