"""Readers of texts, with labels or without, one format each."""

from __future__ import annotations

from pathlib import Path

from data.readers.folders import read_split_files, visible_files
from data.readers.texts import tables
from data.readers.texts.findings import TextFindings
from data.readers.texts.folders import SUFFIX, read_class_folders, read_lines, read_whole_files
from data.splits import DataError, Problem
from data.texts import Text, TextFields

_TABLE = "a table named .csv, .tsv or .jsonl with the column text"
EXPECTED = (
    f"{_TABLE} and label, a folder of such tables named train, validation and test, or a folder "
    "with one folder of .txt files per class"
)
"""The formats of labelled texts."""

EXPECTED_UNLABELLED = (
    f"a .txt file of one text per line, {_TABLE}, a folder of such files named train, validation "
    "and test, or a folder of .txt files of one text each"
)
"""The formats of texts without labels."""


def read_path(
    path: Path, fields: TextFields, *, labelled: bool = True
) -> tuple[list[Text], list[Problem]]:
    """Reads texts in any of the formats that `EXPECTED` and `EXPECTED_UNLABELLED` list.

    Args:
        path: A file or a folder.
        fields: Which columns hold what.
        labelled: Whether the texts need labels; without, none are read.

    Returns:
        The texts, folder by folder in alphabetical order, and warnings.

    Raises:
        DataError: Lists everything that is wrong.
    """
    findings = TextFindings(fields=fields, labelled=labelled)
    if path.is_dir():
        _read_folder(path, findings)
    elif path.suffix.lower() in tables.SUFFIXES:
        tables.read_table(path, "train", findings)
    elif path.suffix.lower() == SUFFIX and not labelled:
        read_lines(path, "train", findings)
    else:
        findings.error(str(path), f"is of no known format; expected {_expected(labelled)}")
    errors = [problem for problem in findings.problems if problem.severity == "error"]
    if not findings.texts and not errors:
        errors = [Problem("error", str(path), f"no texts; expected {_expected(labelled)}")]
    if errors:
        raise DataError(errors)
    return findings.texts, findings.problems


def _expected(labelled: bool) -> str:
    return EXPECTED if labelled else EXPECTED_UNLABELLED


def _read_folder(root: Path, findings: TextFindings) -> None:
    files = visible_files(root)
    listed = [path for path in files if path.suffix.lower() in tables.SUFFIXES]
    plain = [path for path in files if path.suffix.lower() == SUFFIX]
    formats = sorted({path.suffix.lower() for path in listed})
    if len(formats) > 1:
        message = f"tables of several formats: {', '.join(formats)}; expected one per folder"
        findings.error(str(root), message)
    elif listed:
        read_split_files(listed, tables.read_table, findings)
    elif findings.labelled:
        read_class_folders(root, findings)
    elif any(path.stem.lower() == "train" for path in plain):
        read_split_files(plain, read_lines, findings)
    else:
        read_whole_files(root, findings)
