"""Text files, tables and JSON Lines, read with the line of everything that is wrong in them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Report = Callable[[int, str], None]
"""Takes a line number and what is wrong there."""


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
        report(line, f"not UTF-8 text ({error.reason}); save the file as UTF-8")
        return None


def delimited_rows(
    text: str, delimiter: str, required: Sequence[str], report: Report
) -> Iterator[tuple[int, dict[str, str]]]:
    """Reads comma-separated values (RFC 4180) or their like with a heading.

    Args:
        text: The table.
        delimiter: What stands between the values.
        required: Columns that the heading must have, in lower case.
        report: Takes the problems.

    Yields:
        For each row the line on which it starts and its values by column.
    """
    records = _records(text, delimiter, report)
    _, heading = next(records, (1, []))
    columns = [column.strip().lower() for column in heading]
    missing = [column for column in required if column not in columns]
    if missing:
        separator = "tabs" if delimiter == "\t" else "commas"
        report(1, f"no column {' or '.join(missing)} among {columns}, separated by {separator}")
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
