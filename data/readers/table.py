"""Files and their labels listed in a table: CSV (RFC 4180), TSV or JSON Lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data.readers import SPLIT_NAMES, LabelledFile
from data.readers.lines import Report, delimited_rows, json_rows, read_text
from data.splits import DataError, Problem

SUFFIXES = (".csv", ".tsv", ".jsonl")

_COLUMNS = ("path", "label", "split")
_REQUIRED = ("path", "label")

Rows = Iterator[tuple[int, dict[str, str]]]


def read_table(table: Path) -> list[LabelledFile]:
    """Reads a table with the columns `path`, `label` and, optionally, `split`.

    Args:
        table: A UTF-8 file named `.csv`, `.tsv` or `.jsonl`. Paths in it are relative to its
            folder; an empty or absent split means `train`; other columns are not read.

    Returns:
        The files in the order of the table.

    Raises:
        DataError: Lists everything that is wrong, as `file:line: problem`.
    """
    problems: list[Problem] = []

    def report(line: int, message: str) -> None:
        problems.append(Problem("error", f"{table}:{line}", message))

    files = []
    for line, row in _rows(table, report):
        faults = _faults(row, table.parent)
        for fault in faults:
            report(line, fault)
        if not faults:
            files.append(_labelled_file(row, table.parent))
    if not files and not problems:
        report(1, "no rows; expected a path and a label, and optionally a split, for each file")
    if problems:
        raise DataError(problems)
    return files


def _rows(table: Path, report: Report) -> Rows:
    text = read_text(table, report)
    if text is None:
        return iter(())
    if table.suffix.lower() == ".jsonl":
        return _json_rows(text, report)
    delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
    return delimited_rows(text, delimiter, _REQUIRED, report)


def _json_rows(text: str, report: Report) -> Rows:
    for line, row in json_rows(text, report):
        fault = _json_fault(row)
        if fault:
            report(line, fault)
        else:
            yield line, {key: str(row[key]) for key in _COLUMNS if row.get(key) is not None}


def _json_fault(row: object) -> str:
    if not isinstance(row, dict):
        return f"expected an object with path and label, found {type(row).__name__}"
    missing = [key for key in _REQUIRED if row.get(key) is None]
    if missing:
        return f"no {' or '.join(missing)} among {sorted(row)}"
    wrong = [key for key in _COLUMNS if type(row.get(key)) not in (str, int, type(None))]
    return f"{' and '.join(wrong)} must be text" if wrong else ""


def _faults(row: dict[str, str], folder: Path) -> list[str]:
    faults = []
    path = folder / row["path"].strip()
    if not row["path"].strip():
        faults.append("empty path")
    elif not os.path.isfile(path):
        faults.append(f"no file {str(path)!r}; paths are relative to the folder of the table")
    elif not os.access(path, os.R_OK):
        faults.append(f"no right to read {str(path)!r}")
    if not _is_one_line(row["label"].strip()):
        faults.append(f"label {row['label']!r}; expected one line of text that is not empty")
    if _split_name(row) not in SPLIT_NAMES:
        faults.append(f"unknown split {row['split']!r}; expected one of {', '.join(SPLIT_NAMES)}")
    return faults


def _is_one_line(label: str) -> bool:
    """Labels are exported one per line, and JSON can spell surrogates that UTF-8 cannot."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in label)
    return label.splitlines() == [label] and not surrogates


def _split_name(row: dict[str, str]) -> str:
    return row.get("split", "").strip().lower() or "train"


def _labelled_file(row: dict[str, str], folder: Path) -> LabelledFile:
    path = str(folder / row["path"].strip())
    return LabelledFile(path, row["label"].strip(), SPLIT_NAMES[_split_name(row)])
