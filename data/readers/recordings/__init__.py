"""Readers of recordings with words or transcripts, one format each."""

from __future__ import annotations

from pathlib import Path

from data.readers.folders import read_split_files, visible_files
from data.readers.recordings import tables
from data.readers.recordings.findings import RecordingFindings
from data.readers.recordings.folders import read_word_folders
from data.recordings import Recording, RecordingFields
from data.splits import DataError, Problem

EXPECTED = (
    "a table named .csv, .tsv or .jsonl with the columns path and text and optionally start, end, "
    "split and speaker, a folder of such tables named train, validation and test, or a folder with "
    "one folder of recordings per word"
)
"""The formats of recordings."""


def read_path(
    path: Path, kind: str, fields: RecordingFields
) -> tuple[list[Recording], list[Problem]]:
    """Reads recordings in any of the formats that `EXPECTED` lists; sound is not opened yet.

    Args:
        path: A file or a folder.
        kind: `"keywords"` or `"transcripts"`, what their texts are.
        fields: Which columns hold what.

    Returns:
        The recordings, in the order of the table or in alphabetical order, and warnings.

    Raises:
        DataError: Lists everything that is wrong.
    """
    findings = RecordingFindings(kind=kind, fields=fields)
    if path.is_dir():
        _read_folder(path, findings)
    elif path.suffix.lower() in tables.SUFFIXES:
        tables.read_table(path, "train", findings)
    else:
        findings.error(str(path), f"is of no known format; expected {EXPECTED}")
    errors = [problem for problem in findings.problems if problem.severity == "error"]
    if not findings.recordings and not errors:
        errors = [Problem("error", str(path), f"no recordings; expected {EXPECTED}")]
    if errors:
        raise DataError(errors)
    return findings.recordings, findings.problems


def _read_folder(root: Path, findings: RecordingFindings) -> None:
    listed = [path for path in visible_files(root) if path.suffix.lower() in tables.SUFFIXES]
    formats = sorted({path.suffix.lower() for path in listed})
    if len(formats) > 1:
        message = f"tables of several formats: {', '.join(formats)}; expected one per folder"
        findings.error(str(root), message)
    elif listed:
        read_split_files(listed, tables.read_table, findings)
    else:
        read_word_folders(root, findings)
