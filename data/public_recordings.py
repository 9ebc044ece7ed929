"""Public sets of recordings, from TensorFlow Datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data.audio import encode_wav, to_16_bits
from data.public_sets import PREFIX, data_error, find_builder, prepare
from data.readers import SPLIT_NAMES
from data.recordings import Recording, RecordingFields, normalize_transcript
from data.splits import DataError, Problem, Split, concatenate, from_bytes, from_stream

NAMES = {
    "keywords": ("spoken_digit", "speech_commands"),
    "transcripts": ("yes_no", "librispeech", "ljspeech"),
}
"""The public sets of each kind."""

_TEXTS = {"ljspeech": "text_normalized"}
_SPLITS = {
    "librispeech": {
        "train_clean100": "train",
        "train_clean360": "train",
        "train_other500": "train",
        "dev_clean": "validation",
        "test_clean": "test",
    }
}
_HINTS = {
    "sound": "expected a feature of class Audio",
    "text": "name its feature by --recording.text_field",
    "speaker": "name its feature by --recording.speaker_field",
}
_IDS = ("id", "audio/filename")
_TEST_DIGITS = 5
_MAX_BYTES_IN_MEMORY = 2**30
_SHUFFLE_BYTES = 2**28

Features = Mapping[str, tfds.features.FeatureConnector]
Part = tuple[list[Recording], Split]
"""Recordings, and their WAV files in the same order."""


@dataclass(frozen=True)
class _Columns:
    """The features to read; `""` where there is none."""

    audio: str
    text: str
    speaker: str
    id: str


def read_public_recordings(
    name: str, kind: str, fields: RecordingFields, data_dir: str | None = None
) -> tuple[list[Recording], Split, list[Problem]]:
    """Reads a public set of recordings.

    Args:
        name: One of `NAMES[kind]`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        kind: `"keywords"` or `"transcripts"`, what their texts are.
        fields: Which features hold what; what is left open is guessed.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The recordings of all splits in the published order, their WAV files in the same order,
        and warnings. `spoken_digit` is tested on the first five recordings of each digit by each
        speaker, as its authors do; `librispeech` is trained on all 960 hours, and validated and
        tested on those called clean.

    Raises:
        DataError: If the set is unknown or cannot be downloaded, or if the features cannot be
            guessed.
    """
    builder = find_builder(name, data_dir)
    features = dict(builder.info.features.items())
    columns = _columns(name, features, kind, fields)
    prepare(name, builder)
    names = _SPLITS.get(builder.name, SPLIT_NAMES)
    read = [stored for stored in builder.info.splits if stored in names]
    parts = [_read_split(name, builder, stored, names[stored], columns) for stored in read]
    found = [recording for group, _ in parts for recording in group]
    if builder.name == "spoken_digit":
        found = [_digit(recording) for recording in found]
    problems = [
        Problem("warning", f"{name}/{stored}", "not used")
        for stored in builder.info.splits
        if stored not in names
    ]
    return _usable(name, kind, found, concatenate([inputs for _, inputs in parts]), problems)


def _columns(name: str, features: Features, kind: str, fields: RecordingFields) -> _Columns:
    known = replace(fields, text=fields.text or _TEXTS.get(name.removeprefix(PREFIX), ""))
    sounds = [key for key, feature in features.items() if isinstance(feature, tfds.features.Audio)]
    texts = [key for key in known.text_columns(kind) if key in features and key not in sounds]
    speakers = [key for key in fields.speaker_columns if key in features]
    absent = {"sound": not sounds, "text": not texts, "speaker": fields.speaker and not speakers}
    found = ", ".join(f"{key} ({type(value).__name__})" for key, value in features.items())
    problems = [
        Problem("error", name, f"cannot tell the {what} among {found}; {_HINTS[what]}")
        for what, is_absent in absent.items()
        if is_absent
    ]
    if problems:
        raise DataError(problems)
    ids = [key for key in _IDS if key in features]
    return _Columns(sounds[0], texts[0], *(next(iter(keys), "") for keys in (speakers, ids)))


def _read_split(
    name: str, builder: tfds.core.DatasetBuilder, stored: str, split: str, columns: _Columns
) -> Part:
    group = [
        replace(recording, split=split, where=recording.where or f"{name}/{stored}/{row}")
        for row, recording in enumerate(_describe(name, builder, stored, columns))
    ]
    ids = [recording.where for recording in group]
    labels = [0] * len(group)
    sounds = _sounds(name, builder, stored, columns.audio)
    size = sum(info.num_bytes for info in builder.info.splits.values())
    if size <= _MAX_BYTES_IN_MEMORY:
        return group, from_bytes(list(sounds.as_numpy_iterator()), labels, ids)
    mean_bytes = builder.info.splits[stored].num_bytes / len(group)
    buffer = max(1000, int(_SHUFFLE_BYTES / max(mean_bytes, 1)))
    return group, from_stream(lambda: sounds, labels, ids, buffer)


def _describe(
    name: str, builder: tfds.core.DatasetBuilder, stored: str, columns: _Columns
) -> Iterator[Recording]:
    """What is published about each recording, without its sound."""
    keys = [key for key in (columns.text, columns.speaker, columns.id) if key]
    features = builder.info.features
    examples = builder.as_dataset(
        split=stored,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        shuffle_files=False,
    )
    for example in examples.as_numpy_iterator():
        shown = {key: _spell(features[key], value) for key, value in example.items()}
        where = f"{name}/{shown[columns.id]}" if columns.id else ""
        yield Recording(
            "", shown[columns.text], speaker=shown.get(columns.speaker, ""), where=where
        )


def _spell(feature: tfds.features.FeatureConnector, value: Any) -> str:
    if isinstance(feature, tfds.features.Sequence):
        return " ".join(_spell(feature.feature, part) for part in value)
    if isinstance(feature, tfds.features.ClassLabel):
        return feature.int2str(value) if value >= 0 else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _sounds(
    name: str, builder: tfds.core.DatasetBuilder, stored: str, column: str
) -> tf.data.Dataset:
    """The recordings of a published split as WAV files."""
    sample_rate = builder.info.features[column].sample_rate
    if not sample_rate:
        raise data_error(name, "published without a sample rate; write files of your own")

    def encode(samples: np.ndarray) -> bytes:
        return encode_wav(to_16_bits(samples.reshape(len(samples), -1)), sample_rate)

    examples = builder.as_dataset(
        split=stored,
        decoders=tfds.decode.PartialDecoding({column: True}),
        shuffle_files=False,
    )
    return examples.map(
        lambda example: tf.ensure_shape(
            tf.numpy_function(encode, [example[column]], tf.string), ()
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _digit(recording: Recording) -> Recording:
    """Adds what the names of its files say: `{digit}_{speaker}_{number}.wav`."""
    _, speaker, number = recording.where.removesuffix(".wav").rsplit("_", 2)
    split = "test" if int(number) < _TEST_DIGITS else "train"
    return replace(recording, speaker=speaker, split=split)


def _usable(
    name: str, kind: str, found: list[Recording], inputs: Split, problems: list[Problem]
) -> tuple[list[Recording], Split, list[Problem]]:
    """Leaves out what has no text."""
    spell = normalize_transcript if kind == "transcripts" else str.strip
    usable = np.array([bool(spell(recording.text)) for recording in found], dtype=bool)
    if not usable.all():
        message = f"recordings without text, {np.sum(~usable)} in all, are not used"
        problems = [*problems, Problem("warning", name, message)]
    kept = [recording for recording, is_usable in zip(found, usable, strict=True) if is_usable]
    return kept, inputs.take(usable), problems
