"""Recordings in tables: CSV (RFC 4180), TSV or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.readers.lines import delimited_rows, json_rows
from data.readers.recordings.findings import RecordingFindings
from data.recordings import Recording

SUFFIXES = (".csv", ".tsv", ".jsonl")

_JSON_SUFFIX = ".jsonl"
_PATHS = ("path", "file", "filename", "file_name", "audio", "audio_filepath")
_TIMES = ("start", "end")
_REQUIRED = ("path", "text")
_HINT = (
    "name the column of the text by --recording.text_field and that of the speaker by "
    "--recording.speaker_field"
)

Row = Mapping[str, Any]


def read_table(path: Path, split: str, findings: RecordingFindings) -> None:
    """Reads the columns of path and text, and of start, end, split and speaker where they exist.

    The names of columns are found in any case. Paths are relative to the folder of the table,
    times are in seconds.

    Args:
        path: A UTF-8 file named `.csv`, `.tsv` or `.jsonl`.
        split: The split of rows that name none.
        findings: Says which columns to read; takes the recordings and the problems.
    """
    content = findings.read_text(path)
    if content is None:
        return
    columns = _columns(findings)
    is_json = path.suffix.lower() == _JSON_SUFFIX
    for line, values in _rows(content, path, findings):
        row = _read_row(values, columns)
        missing = _missing(row, values, columns, findings)
        if missing and not is_json:
            findings.error(f"{path}:1", missing)
            return
        where = f"{path}:{line}"
        faults = [missing] if missing else list(_faults(row))
        for fault in faults:
            findings.error(where, fault)
        if not faults:
            findings.add(_recording(row, path.parent, split), where)


def _columns(findings: RecordingFindings) -> dict[str, list[str]]:
    """What each column may be called."""
    fields = findings.fields
    columns = {
        "path": _PATHS,
        "text": fields.text_columns(findings.kind),
        "speaker": fields.speaker_columns,
        **{name: (name,) for name in ("split", *_TIMES)},
    }
    return {name: [column.lower() for column in found] for name, found in columns.items()}


def _rows(content: str, path: Path, findings: RecordingFindings) -> Iterator[tuple[int, Row]]:
    if path.suffix.lower() != _JSON_SUFFIX:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        yield from delimited_rows(content, delimiter, (), findings.report(path))
        return
    for line, value in json_rows(content, findings.report(path)):
        if isinstance(value, dict):
            yield line, {key.strip().lower(): entry for key, entry in value.items()}
        else:
            message = f"expected an object with path and text, found {type(value).__name__}"
            findings.error(f"{path}:{line}", message)


def _read_row(values: Row, columns: Mapping[str, list[str]]) -> Row:
    """The values under one name each; what is left open in a row is as if it had no column."""
    row = {}
    for name, candidates in columns.items():
        given = (values[column] for column in candidates if column in values)
        found = next((value for value in given if _is_given(value, name)), None)
        if found is not None:
            row[name] = found
    return row


def _is_given(value: Any, name: str) -> bool:
    is_blank = isinstance(value, str) and not value.strip()
    return value is not None and (name in _REQUIRED or not is_blank)


def _missing(
    row: Row, values: Row, columns: Mapping[str, list[str]], findings: RecordingFindings
) -> str:
    missing = [name for name in _REQUIRED if name not in row]
    if findings.fields.speaker and not set(columns["speaker"]) & set(values):
        missing.append("speaker")
    expected = " and no ".join(" or ".join(columns[name]) for name in missing)
    return f"no {expected} among {sorted(values)}; {_HINT}" if missing else ""


def _faults(row: Row) -> Iterator[str]:
    for name, value in row.items():
        if name in _TIMES:
            if _seconds(value) is None:
                yield f"{name} {value!r}; expected seconds as a number, such as 1.25"
        elif type(value) not in (str, int):
            yield f"{name} must be text, found {type(value).__name__}"
    if not str(row["path"]).strip():
        yield "empty path"


def _seconds(value: Any) -> float | None:
    if type(value) not in (str, int, float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _recording(row: Row, folder: Path, split: str) -> Recording:
    return Recording(
        path=str(folder / str(row["path"]).strip()),
        text=str(row["text"]),
        start=_seconds(row.get("start")) or 0.0,
        end=_seconds(row.get("end")),
        split=str(row.get("split", split)),
        speaker=str(row.get("speaker", "")),
    )
