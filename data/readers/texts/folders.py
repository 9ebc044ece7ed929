"""Texts in folders: one file each, or one line each."""

from __future__ import annotations

from pathlib import Path

from data.readers.folders import (
    ignore_files,
    is_split_name,
    split_folders,
    visible_files,
    visible_folders,
    walk,
)
from data.readers.texts.findings import UNLABELLED_NAMES, TextFindings
from data.readers.utterances.findings import SPLIT_NAMES
from data.texts import Text

SUFFIX = ".txt"


def read_lines(path: Path, split: str, findings: TextFindings) -> None:
    """Reads a file of one text per line; blank lines do not count.

    Args:
        path: A UTF-8 file.
        split: The split of its texts.
        findings: Takes the texts, named `file:line`, and the problems.
    """
    content = findings.read_text(path)
    for number, line in enumerate((content or "").split("\n"), start=1):
        if line.strip():
            findings.add(Text(line, (), split, f"{path}:{number}"))


def read_class_folders(root: Path, findings: TextFindings) -> None:
    """Reads each `.txt` file of each class folder as one text.

    Args:
        root: A folder of class folders, or of `train`, `validation` (`val`, `valid`, `dev`) and
            `test` folders that hold class folders.
        findings: Takes the texts, named by their files, and the problems.
    """
    for split, folder in split_folders(root, findings):
        ignore_files(folder, visible_files(folder), "outside the class folders", findings)
        for class_folder in visible_folders(folder):
            if class_folder.name.lower() in UNLABELLED_NAMES:
                findings.warning(str(class_folder), "ignored: named as texts without labels")
            else:
                for path in _text_files(class_folder, findings):
                    _read_whole_file(path, split, (class_folder.name,), findings)


def read_whole_files(root: Path, findings: TextFindings) -> None:
    """Reads each `.txt` file below a folder as one text without label.

    Args:
        root: A folder; what is below a folder named as a split belongs to that split.
        findings: Takes the texts, named by their files, and the problems.
    """
    for path in _text_files(root, findings):
        folders = path.relative_to(root).parts[-2::-1]
        named = (SPLIT_NAMES[name.lower()] for name in folders if is_split_name(name))
        _read_whole_file(path, next(named, "train"), (), findings)


def _read_whole_file(
    path: Path, split: str, labels: tuple[str, ...], findings: TextFindings
) -> None:
    content = findings.read_text(path)
    if content is not None:
        findings.add(Text(content, labels, split, str(path)))


def _text_files(folder: Path, findings: TextFindings) -> list[Path]:
    paths = list(walk(folder))
    others = [path for path in paths if path.suffix.lower() != SUFFIX]
    ignore_files(folder, others, f"not named {SUFFIX}", findings)
    return [path for path in paths if path.suffix.lower() == SUFFIX]
