"""Public sets of texts: those of TensorFlow Datasets, and one that needs no download."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.public_sets import PREFIX, data_error, find_builder, prepare
from data.readers import SPLIT_NAMES
from data.readers.texts.findings import UNLABELLED_NAMES
from data.reviews import read_reviews
from data.splits import DataError, Problem
from data.texts import Text, TextFields, join_texts

NAMES = (
    "reviews",
    "imdb_reviews",
    "trec",
    "ag_news_subset",
    "glue/sst2",
    "yelp_polarity_reviews",
)

_FIELDS = {
    "ag_news_subset": TextFields(text="title,description"),
    "trec": TextFields(label="label-coarse"),
}
# The sets of Yelp and AG spell line ends and quotes as their files of values needed them.
_REPLACED = {
    "ag_news_subset": (("\\", " "),),
    "imdb_reviews": (("<br />", "\n"),),
    "yelp_polarity_reviews": (("\\n", "\n"), ('""', '"')),
}
_TEXT_NAMES = ("text", "sentence", "review", "content", "description", "document", "comment_text")
_LABEL_NAME = "label"
_MAX_BYTES = 2**32
_BATCH = 1024

Features = Mapping[str, tfds.features.FeatureConnector]
LabelsOf = Callable[[Any], tuple[str, ...]]
"""The names of the labels that a stored value stands for; none if it is not labelled."""


@dataclass(frozen=True)
class _Columns:
    """The features to read: those of the text and, where labels are wanted, that of the label."""

    texts: Sequence[str]
    label: str | None
    labels_of: LabelsOf


def is_public(name: str) -> bool:
    """Whether a name is that of a public set, not a path."""
    return name in NAMES or name.startswith(PREFIX)


def read_public_texts(
    name: str, fields: TextFields, *, labelled: bool, data_dir: str | None = None
) -> tuple[list[Text], list[Problem]]:
    """Reads a public set of texts.

    Args:
        name: One of `NAMES`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        fields: Which features hold what; what is left open is guessed.
        labelled: Whether to read the texts that have labels, or all texts, without their labels.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The texts of all splits in the published order, and warnings. Where test texts are
        published without labels, as in GLUE, those to validate on are the test texts.

    Raises:
        DataError: If the set is unknown, cannot be downloaded or is too large for memory, or if
            the features cannot be guessed.
    """
    if name == "reviews":
        return _read_reviews(labelled), []
    builder = find_builder(name, data_dir)
    columns = _columns(name, dict(builder.info.features.items()), fields, labelled)
    prepare(name, builder)
    _require_small(name, builder)
    texts = list(_read(name, builder, columns))
    return _labelled_only(name, texts, fields) if labelled else (texts, [])


def _read_reviews(labelled: bool) -> list[Text]:
    texts = read_reviews()
    return texts if labelled else [replace(text, labels=()) for text in texts]


def _columns(name: str, features: Features, fields: TextFields, labelled: bool) -> _Columns:
    known = _FIELDS.get(name.removeprefix(PREFIX), TextFields())
    texts = fields.text_names or known.text_names or _guess_texts(features)
    label = fields.label or known.label or _guess_label(features)
    problems = []
    if not texts or not all(_is_string(features.get(text)) for text in texts):
        problems.append(_no_feature(name, "text", ",".join(texts), features))
    if labelled and not _is_label(features.get(label)):
        problems.append(_no_feature(name, "label", label, features))
    if problems:
        raise DataError(problems)
    if not labelled:
        return _Columns(texts, None, lambda value: ())
    return _Columns(texts, label, _labels_of(features[label], fields))


def _guess_texts(features: Features) -> list[str]:
    named = [text for text in _TEXT_NAMES if _is_string(features.get(text))]
    found = [key for key, value in features.items() if isinstance(value, tfds.features.Text)]
    return named[:1] or (found if len(found) == 1 else [])


def _guess_label(features: Features) -> str:
    if _is_label(features.get(_LABEL_NAME)):
        return _LABEL_NAME
    classes = (
        key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)
    )
    return next(classes, "")


def _is_string(feature: Any) -> bool:
    return _is_scalar(feature) and np.dtype(feature.np_dtype).kind in "OSU"


def _is_label(feature: Any) -> bool:
    return _is_scalar(feature) and np.dtype(feature.np_dtype).kind in "OSUiub"


def _is_scalar(feature: Any) -> bool:
    return isinstance(feature, tfds.features.Tensor) and feature.shape == ()


def _no_feature(name: str, what: str, asked: str, features: Features) -> Problem:
    found = ", ".join(f"{key} ({type(value).__name__})" for key, value in features.items())
    fault = f"{asked!r} cannot be" if asked else "cannot guess"
    message = f"{fault} the {what} among {found}; name its feature by --text.{what}_field"
    return Problem("error", name, message)


def _labels_of(feature: tfds.features.FeatureConnector, fields: TextFields) -> LabelsOf:
    if isinstance(feature, tfds.features.ClassLabel):
        return lambda value: (feature.int2str(value),) if value >= 0 else ()
    if _is_string(feature):
        return lambda value: fields.labels_in(_decode(value))
    return lambda value: (str(value),)


def _require_small(name: str, builder: tfds.core.DatasetBuilder) -> None:
    size = sum(split.num_bytes for split in builder.info.splits.values())
    if size > _MAX_BYTES:
        message = (
            f"{size / 2**30:.1f} GiB are more than the {_MAX_BYTES / 2**30:.0f} GiB that are kept "
            "in memory; write the part that you need to a file of your own"
        )
        raise data_error(name, message)


def _read(name: str, builder: tfds.core.DatasetBuilder, columns: _Columns) -> Iterator[Text]:
    unlabelled = {} if columns.label else dict.fromkeys(UNLABELLED_NAMES, "train")
    names = {**SPLIT_NAMES, **unlabelled}
    for stored in builder.info.splits:
        if stored in names:
            yield from _read_split(name, builder, stored, names[stored], columns)


def _read_split(
    name: str,
    builder: tfds.core.DatasetBuilder,
    stored: str,
    split: str,
    columns: _Columns,
) -> Iterator[Text]:
    replaced = _REPLACED.get(name.removeprefix(PREFIX), ())
    for number, (value, *texts) in enumerate(_rows(builder, stored, columns)):
        text = join_texts([_replace(_decode(part), replaced) for part in texts])
        yield Text(text, columns.labels_of(value), split, f"{name}/{stored}/{number}")


def _rows(
    builder: tfds.core.DatasetBuilder, stored: str, columns: _Columns
) -> Iterator[tuple[Any, ...]]:
    """The label of each example and its texts; the first text again where no label is wanted."""
    keys = [columns.label or columns.texts[0], *columns.texts]
    config = tfds.ReadConfig(try_autocache=False)
    examples = builder.as_dataset(split=stored, shuffle_files=False, read_config=config)
    chosen = examples.map(lambda example: {key: example[key] for key in keys})
    for batch in chosen.batch(_BATCH).as_numpy_iterator():
        yield from zip(*(batch[key] for key in keys), strict=True)


def _replace(text: str, replaced: Sequence[tuple[str, str]]) -> str:
    for old, new in replaced:
        text = text.replace(old, new)
    return text


def _decode(value: bytes) -> str:
    return value.decode(errors="replace")


def _labelled_only(
    name: str, texts: Sequence[Text], fields: TextFields
) -> tuple[list[Text], list[Problem]]:
    """Leaves out the texts without labels, unless texts may have any number of labels."""
    if fields.separator:
        return list(texts), []
    kept = [text for text in texts if text.labels]
    left_out = Counter(text.split for text in texts if not text.labels)
    problems = [
        Problem("warning", f"{name}/{split}", f"texts without label, {count} in all, are not used")
        for split, count in left_out.items()
    ]
    splits = {text.split for text in kept}
    if left_out["test"] and "test" not in splits and "validation" in splits:
        kept = [replace(t, split="test") if t.split == "validation" else t for t in kept]
        problems.append(
            Problem("warning", f"{name}/validation", "used as test, which has no labels")
        )
    return kept, problems
