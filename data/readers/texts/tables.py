"""Texts in tables: CSV (RFC 4180), TSV or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.readers.lines import delimited_rows, json_rows
from data.readers.texts.findings import TextFindings
from data.texts import Text, TextFields, join_texts

SUFFIXES = (".csv", ".tsv", ".jsonl")

_JSON_SUFFIX = ".jsonl"
_HINT = "name the columns by --text.text_field and --text.label_field"


def read_table(path: Path, split: str, findings: TextFindings) -> None:
    """Reads the columns of text and label, `text` and `label` by default, and optionally `split`.

    The names of columns are found in any case. In JSON Lines a text with several labels may have
    them as a list.

    Args:
        path: A UTF-8 file named `.csv`, `.tsv` or `.jsonl`.
        split: The split of rows that name none.
        findings: Says which columns to read; takes the texts and the problems.
    """
    content = findings.read_text(path)
    if content is None:
        return
    if path.suffix.lower() == _JSON_SUFFIX:
        _read_json(content, path, split, findings)
    else:
        _read_delimited(content, path, split, findings)


def _text_columns(fields: TextFields) -> list[str]:
    return [name.lower() for name in fields.text_names] or ["text"]


def _label_column(fields: TextFields) -> str:
    return fields.label.strip().lower() or "label"


def _read_delimited(content: str, path: Path, split: str, findings: TextFindings) -> None:
    fields, report = findings.fields, findings.report(path)
    texts, label = _text_columns(fields), _label_column(fields)
    required = [*texts, label] if findings.labelled else texts
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for line, row in delimited_rows(content, delimiter, required, report, _HINT):
        labels = fields.labels_in(row[label]) if findings.labelled else ()
        own = row.get("split", "").strip() or split
        findings.add(Text(join_texts([row[name] for name in texts]), labels, own, f"{path}:{line}"))


def _read_json(content: str, path: Path, split: str, findings: TextFindings) -> None:
    fields = findings.fields
    texts, label = _text_columns(fields), _label_column(fields)
    for line, value in json_rows(content, findings.report(path)):
        where = f"{path}:{line}"
        if not isinstance(value, dict):
            findings.error(where, f"expected an object with text, found {type(value).__name__}")
            continue
        row = {key.strip().lower(): entry for key, entry in value.items()}
        faults = list(_json_faults(row, texts, label, findings))
        for fault in faults:
            findings.error(where, fault)
        if not faults:
            labels = _json_labels(row.get(label), fields) if findings.labelled else ()
            text = join_texts([row[name] for name in texts])
            findings.add(Text(text, labels, row.get("split") or split, where))


def _json_faults(
    row: dict[str, Any], texts: Sequence[str], label: str, findings: TextFindings
) -> Iterator[str]:
    for name in texts:
        if not isinstance(row.get(name), str):
            yield f"{name} must be text, found {_found(row, name)}; {_HINT}"
    if not isinstance(row.get("split"), str | None):
        yield f"split must be text, found {row['split']!r}"
    if findings.labelled:
        yield from _label_faults(row, label, findings.fields.separator)


def _label_faults(row: dict[str, Any], label: str, separator: str) -> Iterator[str]:
    value = row.get(label)
    if isinstance(value, list) and not separator:
        yield (
            f"{label} is a list, {value!r}; expected one label, or --text.label_separator, "
            "which lets texts have several"
        )
    elif isinstance(value, list):
        wrong = [type(entry).__name__ for entry in value if not isinstance(entry, str | int)]
        if wrong:
            yield f"{label} must be a list of texts, found {', '.join(wrong)} in it"
    elif not (isinstance(value, str | int) or (value is None and separator)):
        yield f"{label} must be text, found {_found(row, label)}; {_HINT}"


def _found(row: dict[str, Any], name: str) -> str:
    return type(row[name]).__name__ if name in row else f"none among {sorted(row)}"


def _json_labels(value: Any, fields: TextFields) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(map(str, value))
    return fields.labels_in(str(value))
