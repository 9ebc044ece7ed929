"""Folders as readers find them: named as splits or as classes, with files that are none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from data.readers.lines import Findings
from data.readers.utterances.findings import SPLIT_NAMES

Found = TypeVar("Found", bound=Findings)


def read_split_files(
    paths: Sequence[Path], read: Callable[[Path, str, Found], None], findings: Found
) -> None:
    """Reads files such as `train.csv` and `test.csv`; all are `train` if none is named so.

    Args:
        paths: Files of one folder, of the same format.
        read: Reads one of them; the split is that of examples that name none.
        findings: Takes what is read, and the problems.
    """
    named = any(is_split_name(path.stem) for path in paths)
    for path in paths:
        if not named:
            read(path, "train", findings)
        elif is_split_name(path.stem):
            read(path, SPLIT_NAMES[path.stem.lower()], findings)
        else:
            findings.warning(str(path), f"ignored: not one of the splits {' '.join(SPLIT_NAMES)}")


def is_split_name(name: str) -> bool:
    """Whether a file or a folder is named as a split, in any case."""
    return name.lower() in SPLIT_NAMES


def visible_files(folder: Path) -> list[Path]:
    """The files directly in a folder that are not hidden, in alphabetical order."""
    return [path for path in _visible(folder) if not path.is_dir()]


def visible_folders(folder: Path) -> list[Path]:
    """The folders directly in a folder that are not hidden, in alphabetical order."""
    return [path for path in _visible(folder) if path.is_dir()]


def split_folders(root: Path, findings: Findings) -> list[tuple[str, Path]]:
    """The folders of the splits below a folder, or the folder itself as that of `train`.

    Args:
        root: A folder.
        findings: Takes a warning of what is in none of them.

    Returns:
        The split of each, under its name here, and the folder.
    """
    folders = visible_folders(root)
    if not _names_splits(folders):
        return [("train", root)]
    ignore_files(root, visible_files(root), "outside the folders of the splits", findings)
    found = []
    for folder in folders:
        if is_split_name(folder.name):
            found.append((SPLIT_NAMES[folder.name.lower()], folder))
        else:
            findings.warning(str(folder), f"ignored: not one of the splits {' '.join(SPLIT_NAMES)}")
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Gives the visible files below a folder; linked folders could lead in a circle."""
    yield from visible_files(folder)
    for child in visible_folders(folder):
        if not child.is_symlink():
            yield from walk(child)


def ignore_files(folder: Path, paths: Sequence[Path], reason: str, findings: Findings) -> None:
    """Warns of files that are not read, counted by suffix."""
    if paths:
        kinds = Counter(path.suffix or path.name for path in paths)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        findings.warning(str(folder), f"ignored files {reason}: {found}")


def _names_splits(folders: Sequence[Path]) -> bool:
    """Tells the folder of the training split from a class that is called "train"."""
    train = [folder for folder in folders if folder.name.lower() == "train"]
    all_named = all(is_split_name(folder.name) for folder in folders)
    return bool(train) and (all_named or any(visible_folders(folder) for folder in train))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
