"""Recordings with a word or a transcript, and splits of them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.audio import read_wav
from data.splits import Split, from_function

SPEAKERS = "speakers"
"""The annotation of every split: who speaks, as UTF-8; `b""` where that is not known."""

TRANSCRIPTS = "transcripts"
"""The annotation of splits with transcripts: what is said, as UTF-8, normalised."""

UNKNOWN = "unknown"
"""The class of words that are none of the keywords."""

SILENCE = "silence"
"""The class of recordings without a word."""

BACKGROUND_NOISE = "_background_noise_"
"""The text of long recordings of noise, which are no examples: `silence` is cut from them."""

_WORDS = ("label", "word")
_TRANSCRIPTS = ("text", "transcript", "transcription", "sentence")
_SPEAKERS = ("speaker", "speaker_id", "client_id")
# Decoding is the slowest part of reading, and checks read before training does.
_KEPT_BYTES = 2**28
_APOSTROPHES = str.maketrans("\u2019\u02bc", "''")


@dataclass(frozen=True)
class Recording:
    """One recording as a reader found it.

    Args:
        path: A sound file.
        text: The word of a keyword's clip, or the transcript; or `BACKGROUND_NOISE`.
        start: Seconds before it in the file.
        end: Seconds before its end in the file; `None` is the end of the file.
        split: `"train"`, `"validation"` or `"test"`.
        speaker: Who speaks; `""` if that is not known.
        where: What a person needs to find it, such as its path.
    """

    path: str
    text: str
    start: float = 0.0
    end: float | None = None
    split: str = "train"
    speaker: str = ""
    where: str = ""


@dataclass(frozen=True)
class RecordingFields:
    """Which columns of a table, or features of a public set, hold what, and which are the classes.

    Args:
        text: Column of the word or the transcript; `""` guesses.
        speaker: Column of the speaker; `""` guesses.
        keywords: The words to know; all others become `unknown`. `()` is all words.
        silence_fraction: Examples of `silence` cut from background noise, as a part of the other
            examples of a split.
        test_speakers: The speakers to test on, whose recordings are in no other split; `()`
            leaves the splits as they are.
    """

    text: str = ""
    speaker: str = ""
    keywords: tuple[str, ...] = ()
    silence_fraction: float = 0.1
    test_speakers: tuple[str, ...] = ()

    def text_columns(self, kind: str) -> Sequence[str]:
        """The columns that may hold the text, the likeliest first."""
        if self.text.strip():
            return (self.text.strip(),)
        return _WORDS + _TRANSCRIPTS if kind == "keywords" else _TRANSCRIPTS + _WORDS

    @property
    def speaker_columns(self) -> Sequence[str]:
        """The columns that may hold the speaker, the likeliest first."""
        return (self.speaker.strip(),) if self.speaker.strip() else _SPEAKERS


def place(path: str, start: float = 0.0, end: float | None = None) -> str:
    """Names a file, or a part of it by time (W3C, "Media Fragments URI 1.0")."""
    if end is None:
        return f"{path}#t={start:g}" if start else path
    return f"{path}#t={start:g},{end:g}"


def normalize_transcript(text: str) -> str:
    """Leaves what is spoken: words in lower case with one space between them.

    Args:
        text: Any text.

    Returns:
        The text in lower case and Unicode's composed form (NFC), where punctuation and symbols
        other than the apostrophe, and control characters, are white space.
    """
    composed = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    spaced = "".join(" " if _is_silent(character) else character for character in composed)
    return " ".join(unicodedata.normalize("NFC", spaced).split())


def group_recordings(
    recordings: Sequence[Recording],
    kind: str,
    *,
    keywords: Sequence[str] = (),
    seed: int = 0,
    inputs: Split | None = None,
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Numbers the classes and groups the recordings by split.

    Of `"keywords"` the classes are the words in alphabetical order, with `unknown` and `silence`
    behind them. Of `unknown`, so many are drawn in each split as a keyword has recordings there
    on average. Of `"transcripts"` the classes are the characters of those to train on, in
    alphabetical order, and `Split.labels` is 0.

    Args:
        recordings: In the order in which they shall be stored.
        kind: `"keywords"` or `"transcripts"`, what their texts are.
        keywords: The words to know; all others become `unknown`. `()` is all words.
        seed: Fixes which unknown words are drawn.
        inputs: The WAV files of the recordings in the same order; by default they are read from
            their paths.

    Returns:
        The classes in index order, and the splits that have recordings, by name, with the
        annotation `speakers` and of transcripts `transcripts`, both object `(size,)` of bytes.
        Background noise is in none of them.
    """
    whole = replace(inputs or _from_paths(recordings), annotations=_annotations(recordings, kind))
    if kind == "transcripts":
        splits = _by_split(whole, recordings)
        return characters(splits.get("train", whole)), splits
    words = [_class_of(recording.text, keywords) for recording in recordings]
    labels = in_order({word for word in words if word != BACKGROUND_NOISE})
    index = {label: number for number, label in enumerate(labels)}
    numbers = np.array([index.get(word, -1) for word in words], dtype=np.int64)
    splits = _by_split(replace(whole, labels=numbers), recordings)
    return labels, {name: _draw_unknown(split, labels, seed) for name, split in splits.items()}


def in_order(labels: Collection[str]) -> tuple[str, ...]:
    """The classes in index order: alphabetical, with `unknown` and `silence` behind the words."""
    return tuple(
        sorted(labels, key=lambda label: (label in (UNKNOWN, SILENCE), label == SILENCE, label))
    )


def characters(split: Split) -> tuple[str, ...]:
    """The characters of a split's transcripts, in alphabetical order."""
    return tuple(sorted({c for text in split.annotations[TRANSCRIPTS] for c in text.decode()}))


def _from_paths(recordings: Sequence[Recording]) -> Split:
    kept: dict[int, bytes] = {}
    room = _KEPT_BYTES

    def read(row: int) -> bytes:
        nonlocal room
        if row in kept:
            return kept[row]
        recording = recordings[row]
        content = read_wav(recording.path, recording.start, recording.end)
        if len(content) <= room:
            kept[row] = content
            room -= len(content)
        return content

    return from_function(read, [0] * len(recordings), [r.where or r.path for r in recordings])


def _annotations(recordings: Sequence[Recording], kind: str) -> dict[str, np.ndarray]:
    annotations = {SPEAKERS: _column([recording.speaker for recording in recordings])}
    if kind == "transcripts":
        transcripts = [normalize_transcript(recording.text) for recording in recordings]
        annotations[TRANSCRIPTS] = _column(transcripts)
    return annotations


def _column(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], dtype=object)


def _by_split(whole: Split, recordings: Sequence[Recording]) -> dict[str, Split]:
    rows: dict[str, list[int]] = {}
    for row, recording in enumerate(recordings):
        if recording.text != BACKGROUND_NOISE:
            rows.setdefault(recording.split, []).append(row)
    return {name: whole.take(np.array(found)) for name, found in rows.items()}


def _class_of(text: str, keywords: Sequence[str]) -> str:
    """The class of a word; Speech Commands writes `_unknown_` and `_silence_`."""
    if text.strip("_") in (UNKNOWN, SILENCE):
        return text.strip("_")
    is_known = not keywords or text in keywords or text == BACKGROUND_NOISE
    return text if is_known else UNKNOWN


def _draw_unknown(split: Split, labels: Sequence[str], seed: int) -> Split:
    words = [index for index, label in enumerate(labels) if label not in (UNKNOWN, SILENCE)]
    mean = math.ceil(np.isin(split.labels, words).sum() / max(len(words), 1))
    unknown = np.flatnonzero(split.labels == (labels.index(UNKNOWN) if UNKNOWN in labels else -1))
    if not 0 < mean < len(unknown):
        return split
    surplus = np.random.default_rng(seed).permutation(unknown)[mean:]
    return split.take(np.delete(np.arange(split.size), surplus))


def _is_silent(character: str) -> bool:
    category = unicodedata.category(character)
    return (category[0] in "PS" and character != "'") or category == "Cc"
