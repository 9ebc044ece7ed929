"""Texts with labels or without, and splits of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.splits import Split, from_bytes

LABEL_SETS = "label_sets"
"""The annotation of splits whose texts have any number of labels."""


@dataclass(frozen=True)
class Text:
    """One text as a reader found it.

    Args:
        text: The text.
        labels: Its labels, the most important first; none if it is not labelled.
        split: `"train"`, `"validation"` or `"test"`.
        where: What a person needs to find it, such as `file:line`.
    """

    text: str
    labels: tuple[str, ...] = ()
    split: str = "train"
    where: str = ""


@dataclass(frozen=True)
class TextFields:
    """Which columns of a table, or features of a public set, hold what.

    Args:
        text: Column of the text, or several joined by `","`, whose texts are joined by a space;
            `""` guesses.
        label: Column of the label; `""` guesses.
        separator: What stands between several labels of a text; `""` if each text has one.
    """

    text: str = ""
    label: str = ""
    separator: str = ""

    @property
    def text_names(self) -> list[str]:
        """The columns that `text` names, none if they are to be guessed."""
        return [name.strip() for name in self.text.split(",") if name.strip()]

    def labels_in(self, value: str) -> tuple[str, ...]:
        """The labels that a stored value spells: one or, with a separator, several; or none."""
        parts = value.split(self.separator) if self.separator else [value]
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def join_texts(texts: Sequence[str]) -> str:
    """Makes one text of those of several columns, with a space between them."""
    return " ".join(text.strip() for text in texts if text.strip())


def group_texts(
    texts: Sequence[Text], several: bool = False
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Numbers the labels in alphabetical order and groups the texts by split.

    Args:
        texts: The texts in the order in which they shall be stored.
        several: Whether a text may have any number of labels.

    Returns:
        The labels in index order, and the splits that have texts, by name. The inputs are UTF-8
        bytes; `Split.labels` is the index of the first label, 0 where there is none. With
        `several`, the annotation `label_sets` float32 `(size, classes)` is 1 for the labels of a
        text and 0 for the others.
    """
    labels = tuple(sorted({label for text in texts for label in text.labels}))
    groups: dict[str, list[Text]] = {}
    for text in texts:
        groups.setdefault(text.split, []).append(text)
    return labels, {name: _split(group, labels, several) for name, group in groups.items()}


def _split(texts: Sequence[Text], labels: Sequence[str], several: bool) -> Split:
    index = {label: number for number, label in enumerate(labels)}
    numbers = [[index[label] for label in text.labels] for text in texts]
    return from_bytes(
        [text.text.encode() for text in texts],
        [row[0] if row else 0 for row in numbers],
        [text.where for text in texts],
        {LABEL_SETS: _label_sets(numbers, len(labels))} if several else None,
    )


def _label_sets(numbers: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    sets = np.zeros((len(numbers), classes), dtype=np.float32)
    for row, present in enumerate(numbers):
        sets[row, present] = 1
    return sets
