"""Texts in folders: one file each, in folders named as classes, or files named as splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.readers.texts.findings import UNLABELLED_NAMES, TextFindings
from data.readers.utterances.findings import SPLIT_NAMES
from data.texts import Text

SUFFIX = ".txt"

ReadFile = Callable[[Path, str, TextFindings], None]
"""Reads a file; the split is that of texts that name none."""


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
    for split, folder in _split_folders(root, findings):
        _ignore_files(folder, visible_files(folder), "outside the class folders", findings)
        for class_folder in _visible_folders(folder):
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


def read_split_files(paths: Sequence[Path], read: ReadFile, findings: TextFindings) -> None:
    """Reads files such as `train.csv` and `test.csv`; all are `train` if none is named so.

    Args:
        paths: Files of one folder, of the same format.
        read: Reads one of them.
        findings: Takes the texts and the problems.
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


def _split_folders(root: Path, findings: TextFindings) -> list[tuple[str, Path]]:
    folders = _visible_folders(root)
    if not _names_splits(folders):
        return [("train", root)]
    _ignore_files(root, visible_files(root), "outside the folders of the splits", findings)
    found = []
    for folder in folders:
        if is_split_name(folder.name):
            found.append((SPLIT_NAMES[folder.name.lower()], folder))
        else:
            findings.warning(str(folder), f"ignored: not one of the splits {' '.join(SPLIT_NAMES)}")
    return found


def _names_splits(folders: Sequence[Path]) -> bool:
    """Tells the folder of the training split from a class that is called "train"."""
    train = [folder for folder in folders if folder.name.lower() == "train"]
    all_named = all(is_split_name(folder.name) for folder in folders)
    return bool(train) and (all_named or any(_visible_folders(folder) for folder in train))


def _read_whole_file(
    path: Path, split: str, labels: tuple[str, ...], findings: TextFindings
) -> None:
    content = findings.read_text(path)
    if content is not None:
        findings.add(Text(content, labels, split, str(path)))


def _text_files(folder: Path, findings: TextFindings) -> list[Path]:
    paths = list(_walk(folder))
    others = [path for path in paths if path.suffix.lower() != SUFFIX]
    _ignore_files(folder, others, f"not named {SUFFIX}", findings)
    return [path for path in paths if path.suffix.lower() == SUFFIX]


def _walk(folder: Path) -> Iterator[Path]:
    """Gives the visible files below a folder; linked folders could lead in a circle."""
    yield from visible_files(folder)
    for child in _visible_folders(folder):
        if not child.is_symlink():
            yield from _walk(child)


def _visible_folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _ignore_files(folder: Path, paths: Sequence[Path], reason: str, findings: TextFindings) -> None:
    if paths:
        kinds = Counter(path.suffix or path.name for path in paths)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        findings.warning(str(folder), f"ignored files {reason}: {found}")
