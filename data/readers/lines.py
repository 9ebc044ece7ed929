"""Text files, tables and JSON Lines, read with the line of everything that is wrong in them."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.splits import Problem

Report = Callable[[int, str], None]
"""Takes a line number and what is wrong there."""

# The 128 KiB that Python allows a value are less than many a document has.
csv.field_size_limit(2**31 - 1)


@dataclass
class Findings:
    """Everything that is wrong with some files.

    Args:
        problems: Errors and warnings, in the order in which they were met.
    """

    problems: list[Problem] = field(default_factory=list)

    def error(self, where: str, message: str) -> None:
        """Notes why training must not start."""
        self.problems.append(Problem("error", where, message))

    def warning(self, where: str, message: str) -> None:
        """Notes what a person should know."""
        self.problems.append(Problem("warning", where, message))

    def report(self, path: Path) -> Report:
        """What takes a line of a file and an error there."""
        return lambda line, message: self.error(f"{path}:{line}", message)

    def read_text(self, path: Path) -> str | None:
        """Reads a UTF-8 file with line ends as `\\n`.

        Returns:
            The text; `None`, with the error noted, if it cannot be read.
        """
        text = read_text(path, self.report(path))
        if text is None:
            return None
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            self.error(f"{path}:{line}", "NUL character: no text, or UTF-16; save it as UTF-8")
            return None
        return text.replace("\r\n", "\n")


def read_text(path: Path, report: Report) -> str | None:
    """Reads a UTF-8 file.

    Returns:
        Its text; `None`, with the problem reported, if it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        report(1, f"cannot be read: {error.strerror}")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        reason = "it is UTF-16" if utf_16 else error.reason
        report(line, f"not UTF-8 text ({reason}); save the file as UTF-8")
        return None


def delimited_rows(
    text: str, delimiter: str, required: Sequence[str], report: Report, hint: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Reads comma-separated values (RFC 4180) or their like with a heading.

    Args:
        text: The table.
        delimiter: What stands between the values.
        required: Columns that the heading must have, in lower case.
        report: Takes the problems.
        hint: What else helps where a column is missing.

    Yields:
        For each row the line on which it starts and its values by column.
    """
    records = _records(text, delimiter, report)
    _, heading = next(records, (1, []))
    columns = [column.strip().lower() for column in heading]
    missing = [column for column in required if column not in columns]
    if missing:
        separator = "tabs" if delimiter == "\t" else "commas"
        found = f"no column {' or '.join(missing)} among {columns}, separated by {separator}"
        report(1, f"{found}; {hint}" if hint else found)
        return
    for line, values in records:
        if len(values) == len(columns):
            yield line, dict(zip(columns, values, strict=True))
        else:
            report(line, f"{len(values)} values for {len(columns)} columns; quote what needs it")


def json_rows(text: str, report: Report) -> Iterator[tuple[int, Any]]:
    """Reads JSON Lines.

    Args:
        text: One JSON value per line; blank lines do not count.
        report: Takes the problems.

    Yields:
        The number of each line and its value.
    """
    for line, record in enumerate(text.split("\n"), start=1):
        if not record.strip():
            continue
        try:
            value = json.loads(record)
        except (ValueError, RecursionError) as error:
            report(line, f"not JSON: {error}")
            continue
        yield line, value


def _records(text: str, delimiter: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Gives each record that is not blank with the line on which it starts."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for values in reader:
            if values:
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        report(line, f"cannot be parsed from here on: {error}")
