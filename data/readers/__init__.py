"""Readers of the user's own data: a path becomes labelled files, or a list of all that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data.splits import Split, from_files

SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
"""What folders and tables may call a split, and what it is called here."""


class LabelledFile(NamedTuple):
    """A file that a reader found.

    Args:
        path: Path of the file.
        label: Name of its class.
        split: `"train"`, `"validation"` or `"test"`.
    """

    path: str
    label: str
    split: str


def group_by_split(files: Sequence[LabelledFile]) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Numbers the classes in alphabetical order and groups the files.

    Args:
        files: The files in the order in which they shall be stored.

    Returns:
        The class names in index order, and the splits that have files, by name.
    """
    labels = tuple(sorted({file.label for file in files}))
    index = {label: number for number, label in enumerate(labels)}
    groups: dict[str, list[LabelledFile]] = {}
    for file in files:
        groups.setdefault(file.split, []).append(file)
    splits = {
        split: from_files([file.path for file in group], [index[file.label] for file in group])
        for split, group in groups.items()
    }
    return labels, splits
