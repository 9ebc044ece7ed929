"""Data sets by name, public ones, and by path, the user's own."""

from __future__ import annotations

from pathlib import Path

from data import public_images, public_texts, public_utterances
from data.hold_out import complete
from data.public_sets import PREFIX, Stored, data_error
from data.readers import group_by_split, table, texts, utterances
from data.readers.image_folder import read_image_folder
from data.splits import Split, Splits, concatenate
from data.texts import TextFields, group_texts
from data.utterances import group_utterances

NAMES = {
    "image": public_images.NAMES,
    "utterances": public_utterances.NAMES,
    "texts": public_texts.NAMES,
    "unlabelled_texts": public_texts.NAMES,
}
"""The public sets of each kind."""

_GUESSED = TextFields()


def load(
    name_or_path: str,
    *,
    kind: str = "image",
    fields: TextFields = _GUESSED,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    data_dir: str | None = None,
) -> Splits:
    """Loads a labelled data set as splits of file bytes or of texts.

    Args:
        name_or_path: One of `NAMES[kind]`, or the path of your own data. A known name wins over a
            path of the same name, which `./` in front tells apart.
            Images and texts: also `tfds:NAME` or `tfds:NAME/CONFIG` for any other set of
            TensorFlow Datasets. Images: a path is a folder of class folders or a `.csv`, `.tsv`
            or `.jsonl` table. Utterances and texts: a path in one of the formats of
            `data.readers.utterances.read_path` or `data.readers.texts.read_path`.
        kind: What the examples are: `"image"`; `"utterances"`, sentences with an intent as label
            and slots as annotations (see `data.utterances`); `"texts"`, each with a label or, if
            `fields` has a separator, any number of them (see `data.texts`); or
            `"unlabelled_texts"`, all texts of a set without labels.
        fields: Which columns or features hold texts and labels. Nothing else has them.
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
    labels, given, problems = _stored_splits(name_or_path, kind, fields, data_dir)
    return complete(
        name_or_path,
        labels,
        given,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        problems=problems,
    )


def load_all(
    name_or_path: str,
    *,
    kind: str = "image",
    fields: TextFields = _GUESSED,
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
    labels, given, _ = _stored_splits(name_or_path, kind, fields, data_dir)
    return labels, concatenate(list(given.values()))


def _stored_splits(
    name_or_path: str, kind: str, fields: TextFields, data_dir: str | None
) -> Stored:
    if kind == "image":
        return _stored_images(name_or_path, data_dir)
    if kind == "utterances":
        return _stored_utterances(name_or_path, data_dir)
    if kind in ("texts", "unlabelled_texts"):
        return _stored_texts(name_or_path, fields, kind == "texts", data_dir)
    expected = " or ".join(map(repr, NAMES))
    raise ValueError(f"kind={kind!r} is not supported; expected {expected}.")


def _stored_images(name_or_path: str, data_dir: str | None) -> Stored:
    if name_or_path in NAMES["image"] or name_or_path.startswith(PREFIX):
        return public_images.read_public_images(name_or_path, data_dir)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        files, problems = read_image_folder(path)
        return *group_by_split(files), problems
    if path.is_file() and path.suffix.lower() in table.SUFFIXES:
        return *group_by_split(table.read_table(path)), []
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
        return *group_utterances(sentences), []
    path = Path(name_or_path).expanduser()
    if path.exists():
        sentences, problems = utterances.read_path(path)
        return *group_utterances(sentences), problems
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
    return labels, given, problems
