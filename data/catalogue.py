"""Data sets by name, public ones, and by path, the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data import public_images, public_recordings, public_texts, public_utterances
from data.hold_out import complete
from data.public_sets import PREFIX, Stored, data_error
from data.readers import group_by_split, recordings, table, texts, utterances
from data.readers.image_folder import read_image_folder
from data.recordings import BACKGROUND_NOISE, RecordingFields, characters, group_recordings
from data.silence import add_silence, with_silence
from data.splits import Split, Splits, concatenate
from data.texts import TextFields, group_texts
from data.utterances import group_utterances

NAMES = {
    "image": public_images.NAMES,
    "utterances": public_utterances.NAMES,
    "texts": public_texts.NAMES,
    "unlabelled_texts": public_texts.NAMES,
    "keywords": public_recordings.NAMES["keywords"],
    "transcripts": ("voice_commands", *public_recordings.NAMES["transcripts"]),
}
"""The public sets of each kind."""

VOICE_COMMANDS = Path(__file__).with_name("voice_commands")
"""The data set of the speech app that needs no download."""

Fields = TextFields | RecordingFields


def load(
    name_or_path: str,
    *,
    kind: str = "image",
    fields: Fields | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    data_dir: str | None = None,
) -> Splits:
    """Loads a data set as splits of file bytes or of texts.

    Args:
        name_or_path: One of `NAMES[kind]`, or the path of your own data. A known name wins over a
            path of the same name, which `./` in front tells apart.
            But for utterances also `tfds:NAME` or `tfds:NAME/CONFIG` for any other set of
            TensorFlow Datasets. Images: a path is a folder of class folders or a `.csv`, `.tsv`
            or `.jsonl` table. All else: a path in one of the formats of `read_path` in
            `data.readers.utterances`, `data.readers.texts` or `data.readers.recordings`.
        kind: What the examples are: `"image"`; `"utterances"`, sentences with an intent as label
            and slots as annotations (see `data.utterances`); `"texts"`, each with a label or, if
            `fields` has a separator, any number of them (see `data.texts`);
            `"unlabelled_texts"`, all texts of a set without labels; `"keywords"`, recordings of
            one word each; or `"transcripts"`, recordings with what is said as annotation (see
            `data.recordings`). Recordings are WAV files.
        fields: Which columns or features hold what, `TextFields` of texts and `RecordingFields`
            of recordings. Nothing else has them.
        validation_fraction: Part of the training examples to validate on where the data set has
            no such split.
        test_fraction: Part of the training examples to test on where the data set has no such
            split.
        seed: Fixes which examples these are.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The three splits and the class names.

    Raises:
        DataError: If the data set is unknown, cannot be downloaded or is not usable; the message
            lists everything that is wrong.
        ValueError: If `kind` or a fraction is out of range.
    """
    spoken = _recording_fields(fields)
    stored = _stored_splits(name_or_path, kind, fields, data_dir, seed)
    splits = complete(
        name_or_path,
        stored.labels,
        stored.splits,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        test_speakers=spoken.test_speakers,
        problems=stored.problems,
    )
    if kind == "transcripts":
        return replace(splits, labels=characters(splits.train))
    return add_silence(splits, stored.noise, spoken.silence_fraction, seed)


def load_all(
    name_or_path: str,
    *,
    kind: str = "image",
    fields: Fields | None = None,
    data_dir: str | None = None,
) -> tuple[tuple[str, ...], Split]:
    """Loads every example of a data set that `load` would, whatever its split.

    Args:
        name_or_path: As for `load`.
        kind: As for `load`.
        fields: As for `load`.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The class names in index order, and the examples.

    Raises:
        DataError: If the data set is unknown, cannot be downloaded or is not usable.
        ValueError: If `kind` is unknown.
    """
    spoken = _recording_fields(fields)
    stored = _stored_splits(name_or_path, kind, fields, data_dir)
    everything = concatenate(list(stored.splits.values()))
    return with_silence(stored.labels, everything, stored.noise, spoken.silence_fraction)


def _stored_splits(
    name_or_path: str, kind: str, fields: Fields | None, data_dir: str | None, seed: int = 0
) -> Stored:
    if kind == "image":
        return _stored_images(name_or_path, data_dir)
    if kind == "utterances":
        return _stored_utterances(name_or_path, data_dir)
    if kind in ("texts", "unlabelled_texts"):
        written = fields if isinstance(fields, TextFields) else TextFields()
        return _stored_texts(name_or_path, written, kind == "texts", data_dir)
    if kind in ("keywords", "transcripts"):
        return _stored_recordings(name_or_path, kind, _recording_fields(fields), data_dir, seed)
    expected = " or ".join(map(repr, NAMES))
    raise ValueError(f"kind={kind!r} is not supported; expected {expected}.")


def _stored_images(name_or_path: str, data_dir: str | None) -> Stored:
    if name_or_path in NAMES["image"] or name_or_path.startswith(PREFIX):
        return public_images.read_public_images(name_or_path, data_dir)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        files, problems = read_image_folder(path)
        return Stored(*group_by_split(files), problems)
    if path.is_file() and path.suffix.lower() in table.SUFFIXES:
        return Stored(*group_by_split(table.read_table(path)), [])
    found = "is neither a folder nor a table" if path.exists() else "is no known name and no path"
    raise data_error(
        name_or_path,
        f"{found}; expected one of {', '.join(NAMES['image'])}, tfds:NAME[/CONFIG], a folder with "
        f"one folder of images per class, or a table named {' '.join(table.SUFFIXES)} with the "
        "columns path, label and optionally split",
    )


def _stored_utterances(name_or_path: str, data_dir: str | None) -> Stored:
    if name_or_path in NAMES["utterances"]:
        sentences = public_utterances.read_public_utterances(name_or_path, data_dir)
        return Stored(*group_utterances(sentences), [])
    path = Path(name_or_path).expanduser()
    if path.exists():
        sentences, problems = utterances.read_path(path)
        return Stored(*group_utterances(sentences), problems)
    raise data_error(
        name_or_path,
        f"is no known name and no path; expected one of {', '.join(NAMES['utterances'])}, or "
        f"{utterances.EXPECTED}",
    )


def _stored_texts(
    name_or_path: str, fields: TextFields, labelled: bool, data_dir: str | None
) -> Stored:
    path = Path(name_or_path).expanduser()
    if public_texts.is_public(name_or_path):
        found, problems = public_texts.read_public_texts(
            name_or_path, fields, labelled=labelled, data_dir=data_dir
        )
    elif path.exists():
        found, problems = texts.read_path(path, fields, labelled=labelled)
    else:
        expected = texts.EXPECTED if labelled else texts.EXPECTED_UNLABELLED
        raise data_error(
            name_or_path,
            f"is no known name and no path; expected one of {', '.join(NAMES['texts'])}, "
            f"tfds:NAME[/CONFIG], or {expected}",
        )
    labels, given = group_texts(found, several=labelled and bool(fields.separator))
    if labelled and not labels:
        raise data_error(name_or_path, "no text has a label; expected two labels or more")
    return Stored(labels, given, problems)


def _recording_fields(fields: Fields | None) -> RecordingFields:
    return fields if isinstance(fields, RecordingFields) else RecordingFields()


def _stored_recordings(
    name_or_path: str, kind: str, fields: RecordingFields, data_dir: str | None, seed: int
) -> Stored:
    path = Path(name_or_path).expanduser()
    inputs = None
    if name_or_path == "voice_commands" and kind == "transcripts":
        found, problems = recordings.read_path(VOICE_COMMANDS, kind, RecordingFields())
    elif name_or_path in NAMES[kind] or name_or_path.startswith(PREFIX):
        found, inputs, problems = public_recordings.read_public_recordings(
            name_or_path, kind, fields, data_dir
        )
    elif path.exists():
        found, problems = recordings.read_path(path, kind, fields)
    else:
        raise data_error(name_or_path, _unknown_recordings(name_or_path, kind))
    words = {recording.text for recording in found}
    lacking = [word for word in fields.keywords if word not in words]
    if lacking and kind == "keywords":
        message = (
            f"no recording of {' or '.join(map(repr, lacking))}; the words are {sorted(words)}"
        )
        raise data_error(name_or_path, message)
    labels, given = group_recordings(
        found, kind, keywords=fields.keywords, seed=seed, inputs=inputs
    )
    noise = [recording for recording in found if recording.text == BACKGROUND_NOISE]
    return Stored(labels, given, problems, noise)


def _unknown_recordings(name: str, kind: str) -> str:
    for other in ("keywords", "transcripts"):
        if name in NAMES[other]:
            return f"has {other}, not {kind}"
    return (
        f"is no known name and no path; expected one of {', '.join(NAMES[kind])}, "
        f"tfds:NAME[/CONFIG], or {recordings.EXPECTED}"
    )
