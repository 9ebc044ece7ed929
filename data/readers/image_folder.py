"""Images in one folder per class, with or without folders for the splits above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data.readers import SPLIT_NAMES, LabelledFile
from data.splits import DataError, Problem

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")

_LAYOUTS = (
    "expected <folder>/<class>/<image> or <folder>/{train,validation,test}/<class>/<image>, "
    f"with images named {' '.join(SUFFIXES)}"
)


def read_image_folder(root: Path) -> tuple[list[LabelledFile], list[Problem]]:
    """Finds the images of a folder.

    The first folder below `root`, or below the folder of a split, names the class; images nested
    deeper belong to it too. Hidden files and folders are skipped.

    Args:
        root: A folder of class folders, or of `train`, `validation` (`val`, `valid`) and `test`
            folders that hold class folders.

    Returns:
        The images in alphabetical order of their paths, and a warning for everything else found.

    Raises:
        DataError: If there are no images in class folders, or files that cannot be opened.
    """
    files: list[LabelledFile] = []
    problems: list[Problem] = []
    for split, folder in _split_folders(root, problems):
        problems += [_ignored(path, "not in a class folder") for path in _visible_files(folder)]
        for class_folder in _visible_folders(folder):
            files += _class_files(class_folder, split, problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    if not files and not errors:
        errors = [Problem("error", str(root), f"no images in class folders; {_LAYOUTS}")]
    if errors:
        raise DataError(errors)
    return files, problems


def _split_folders(root: Path, problems: list[Problem]) -> list[tuple[str, Path]]:
    folders = _visible_folders(root)
    if not _names_splits(folders):
        return [("train", root)]
    problems += [_ignored(path, "not in the folder of a split") for path in _visible_files(root)]
    found = []
    for folder in folders:
        split = SPLIT_NAMES.get(folder.name.lower())
        if split:
            found.append((split, folder))
        else:
            problems.append(_ignored(folder, f"not one of the splits {' '.join(SPLIT_NAMES)}"))
    return found


def _names_splits(folders: list[Path]) -> bool:
    """Tells the folder of the training split from a class that is called "train"."""
    train = [folder for folder in folders if folder.name.lower() == "train"]
    if all(folder.name.lower() in SPLIT_NAMES for folder in folders):
        return bool(train)
    return any(
        _visible_folders(folder) and not any(map(_is_image, _visible_files(folder)))
        for folder in train
    )


def _class_files(folder: Path, split: str, problems: list[Problem]) -> list[LabelledFile]:
    files = []
    for path in _walk(folder, problems):
        if not _is_image(path):
            problems.append(_ignored(path, f"not one of {' '.join(SUFFIXES)}"))
        elif not (os.path.isfile(path) and os.access(path, os.R_OK)):
            problems.append(Problem("error", str(path), "cannot be opened; check link and rights"))
        else:
            files.append(LabelledFile(str(path), folder.name, split))
    if not files:
        problems.append(_ignored(folder, "a class folder without images"))
    return files


def _walk(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Gives the visible files below a folder; linked folders could lead in a circle."""
    yield from _visible_files(folder)
    for child in _visible_folders(folder):
        if child.is_symlink():
            problems.append(_ignored(child, "a link to a folder, below the class folder"))
        else:
            yield from _walk(child, problems)


def _visible_folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible_files(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if not path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _ignored(path: Path, reason: str) -> Problem:
    return Problem("warning", str(path), f"ignored: {reason}")
