"""Everything that is wrong with recordings and their texts, found in one pass before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import tensorflow as tf

from data.audio import decode_wav
from data.checks import (
    Scan,
    Survey,
    class_problems,
    counted,
    label_conflicts,
    leaks,
    scan_all,
    scan_readable,
)
from data.recordings import SILENCE, SPEAKERS, TRANSCRIPTS
from data.splits import Problem, Split, Splits

_SILENT_PEAK = 10 ** (-70 / 20)
_FULL_SCALE = 0.999
_MAX_CLIPPED = 0.01
_LONG_SECONDS = 60.0

_UNREADABLE = "no sound, or in a format that neither libsndfile nor ffmpeg reads"
_EMPTY = "no samples: an empty file, or a start behind its end"
_FACTS = {
    "seconds": tf.float64,
    "sample_rates": tf.int32,
    "peaks": tf.float64,
    "clipped": tf.float64,
}


def survey_recordings(
    splits: Splits, *, seconds_per_character: float = 0.0, max_unreadable: float = 0.05
) -> Survey:
    """Reads every recording once and lists all that is wrong.

    Errors are splits of which too much cannot be read, and training data that knows one answer
    only. All else is a warning.

    Args:
        splits: Recordings as `data.load` gives them.
        seconds_per_character: Shortest time in which a model can write a character; one that
            repeats the character before it takes twice the time.
        max_unreadable: Part of a split that may be unreadable before that is an error.

    Returns:
        The problems; the recordings that can be read; and as facts of those to train on, in stored
        order, `seconds` float64 and `sample_rates` int32, `(size of splits.train,)`. Nothing is
        raised for bad data; call `raise_errors` for that once the warnings have been shown.
    """
    kept, scans = scan_all(splits, inspect, max_unreadable)
    problems = [
        *splits.problems,
        *(problem for scan in scans.values() for problem in scan.problems),
        *_answer_problems(kept, scans),
        *_sample_rates(splits.name, scans.values()),
        *_sound_problems(scans, splits.labels),
        *_short(scans, seconds_per_character),
        *leaks(scans),
        *_shared_speakers(scans),
    ]
    facts = scans["train"].facts
    return Survey(
        kept, tuple(problems), {name: facts[name] for name in ("seconds", "sample_rates")}
    )


def check_recordings(split: Split, labels: Sequence[str]) -> tuple[Split, list[Problem]]:
    """Leaves out the recordings that a model cannot be measured on.

    Args:
        split: Recordings.
        labels: Their classes in index order.

    Returns:
        The recordings that can be read, and a warning for each of the others and of those that
        are silent, clipped or very long.

    Raises:
        DataError: None can be read.
    """
    scan = scan_readable(split, inspect)
    return scan.split, [*scan.problems, *_sound_problems({"data": scan}, labels)]


def inspect(content: tf.Tensor) -> dict[str, tf.Tensor]:
    """Measures a recording.

    Args:
        content: tf.string scalar, a WAV file.

    Returns:
        Scalars: `error` tf.string, empty if it can be read; `seconds`, the sample rate in Hz, the
        largest absolute sample and the share of samples at full scale.
    """
    error, *values = tf.numpy_function(_measure, [content], [tf.string, *_FACTS.values()])
    measured = {"error": error, **dict(zip(_FACTS, values, strict=True))}
    return {name: tf.ensure_shape(value, ()) for name, value in measured.items()}


def _measure(content: bytes) -> tuple[bytes, float, np.int32, float, float]:
    try:
        samples, sample_rate = decode_wav(content)
    except ValueError as error:
        return _fault(str(error) if content else _UNREADABLE)
    if not samples.size:
        return _fault(_EMPTY)
    absolute = np.abs(samples)
    peak = float(absolute.max())
    if not np.isfinite(peak):
        return _fault("samples that are not numbers")
    clipped = float(np.mean(absolute >= _FULL_SCALE)) if peak >= _FULL_SCALE else 0.0
    return b"", len(samples) / sample_rate, np.int32(sample_rate), peak, clipped


def _fault(message: str) -> tuple[bytes, float, np.int32, float, float]:
    return message.encode(), 0.0, np.int32(0), 0.0, 0.0


def _answer_problems(splits: Splits, scans: Mapping[str, Scan]) -> Iterator[Problem]:
    if TRANSCRIPTS not in splits.train.annotations:
        yield from class_problems(splits)
        yield from label_conflicts(scans["train"])
        return
    transcripts = splits.train.annotations[TRANSCRIPTS]
    if len(set(transcripts)) == 1:
        message = f"every transcript is {transcripts[0].decode()!r}; expected two or more"
        yield Problem("error", "train", message)
    numbers = np.unique(transcripts, return_inverse=True)[1]
    numbered = replace(scans["train"], split=replace(splits.train, labels=numbers))
    yield from label_conflicts(numbered, "transcript")
    for name in ("validation", "test"):
        yield from _unknown_characters(name, scans[name].split, splits.labels)


def _unknown_characters(name: str, split: Split, labels: Sequence[str]) -> Iterator[Problem]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for where, text in zip(split.ids, split.annotations[TRANSCRIPTS], strict=True):
        unknown = [character for character in text.decode() if character not in labels]
        counts.update(unknown)
        for character in unknown:
            examples.setdefault(character, where)
    found = [f"{c!r} ({count}, {examples[c]})" for c, count in counts.most_common()]
    yield from counted(name, found, "characters that train lacks and that count as mistakes")


def _sample_rates(name: str, scans: Iterable[Scan]) -> Iterator[Problem]:
    rates = Counter(rate for scan in scans for rate in scan.facts["sample_rates"].tolist())
    if len(rates) > 1:
        found = ", ".join(f"{rate} Hz ({count})" for rate, count in sorted(rates.items()))
        yield Problem("warning", name, f"recordings of several sample rates: {found}")


def _sound_problems(scans: Mapping[str, Scan], labels: Sequence[str]) -> Iterator[Problem]:
    silence = labels.index(SILENCE) if SILENCE in labels else -1
    for name, scan in scans.items():
        peaks, clipped, seconds = (scan.facts[key] for key in ("peaks", "clipped", "seconds"))
        silent = (peaks < _SILENT_PEAK) & (scan.split.labels != silence)
        yield from _where(name, scan, silent, "silent recordings", peaks, "peak {:.1g}")
        loud = clipped > _MAX_CLIPPED
        what = f"clipped recordings, with over {_MAX_CLIPPED:.0%} of the samples at full scale"
        yield from _where(name, scan, loud, what, clipped, "{:.0%}")
        what = f"recordings of over {_LONG_SECONDS:.0f} seconds"
        yield from _where(name, scan, seconds > _LONG_SECONDS, what, seconds, "{:.0f} s")


def _short(scans: Mapping[str, Scan], seconds_per_character: float) -> Iterator[Problem]:
    for name, scan in scans.items():
        texts = scan.split.annotations.get(TRANSCRIPTS, np.full(scan.split.size, b""))
        needed = seconds_per_character * np.array([_steps(text.decode()) for text in texts])
        what = "recordings that are too short for their text"
        yield from _where(
            name, scan, scan.facts["seconds"] < needed, what, needed, "needs {:.2f} s"
        )


def _steps(text: str) -> int:
    return len(text) + sum(first == second for first, second in pairwise(text))


def _where(
    name: str, scan: Scan, mask: np.ndarray, what: str, values: np.ndarray, shown: str
) -> Iterator[Problem]:
    rows = np.flatnonzero(mask)
    found = [f"{scan.split.ids[row]} ({shown.format(values[row])})" for row in rows]
    yield from counted(name, found, what)


def _shared_speakers(scans: Mapping[str, Scan]) -> Iterator[Problem]:
    train = set(scans["train"].split.annotations[SPEAKERS]) - {b""}
    for name in ("validation", "test"):
        shared = train & set(scans[name].split.annotations[SPEAKERS])
        found = sorted(speaker.decode() for speaker in shared)
        what = "speakers that are in train too, so that the result is not that of new speakers"
        yield from counted(name, found, what)
