"""Sentences in JSON Lines with the positions of their slots, or in tables of text and intent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.readers.lines import delimited_rows, json_rows
from data.readers.utterances.findings import UtteranceFindings
from data.utterances import Slot, Utterance

JSON_SUFFIX = ".jsonl"
SUFFIXES = (".csv", ".tsv")

_NAMES = ("name", "slot", "entity")
_EXPECTED = '{"text", "intent", "slots": [{"name", "start", "end"}]}'


def read_json_lines(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Reads one object `{"text", "intent", "slots": [{"name", "start", "end"}], "split"}` a line.

    Slots and split may be absent. A slot may be named by `slot` or `entity`; its positions count
    code points. If a slot has a `value`, it must be what stands there.

    Args:
        path: A UTF-8 file.
        split: The split of sentences that name none.
        findings: Takes the sentences and the problems.
    """
    text = findings.read_text(path)
    if text is None:
        return
    for line, row in json_rows(text, findings.report(path)):
        where = f"{path}:{line}"
        faults = list(_row_faults(row))
        for fault in faults:
            findings.error(where, fault)
        if not faults:
            found = row.get("slots") or ()
            slots = tuple(Slot(_name(slot), slot["start"], slot["end"]) for slot in found)
            own = row.get("split") or split
            findings.add(Utterance(row["text"], row["intent"], slots, own, where))


def read_intent_table(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Reads a `.csv` or `.tsv` table with the columns `text`, `intent` and, optionally, `split`.

    Args:
        path: A UTF-8 file.
        split: The split of rows that name none.
        findings: Takes the sentences and the problems.
    """
    text = findings.read_text(path)
    if text is None:
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = delimited_rows(text, delimiter, ("text", "intent"), findings.report(path))
    for line, row in rows:
        own = row.get("split", "").strip() or split
        findings.add(Utterance(row["text"], row["intent"], (), own, f"{path}:{line}"))


def _row_faults(row: object) -> Iterator[str]:
    if not isinstance(row, dict):
        yield f"expected an object {_EXPECTED}, found {type(row).__name__}"
        return
    for key in ("text", "intent"):
        if not isinstance(row.get(key), str):
            yield f"{key} must be text, found {row.get(key)!r}; expected {_EXPECTED}"
    if not isinstance(row.get("split", ""), str | None):
        yield f"split must be text, found {row['split']!r}"
    slots = row.get("slots")
    if not isinstance(slots, list | None):
        yield f"slots must be a list, found {type(slots).__name__}; expected {_EXPECTED}"
    elif isinstance(row.get("text"), str):
        for slot in slots or ():
            yield from _slot_faults(slot, row["text"])


def _slot_faults(slot: object, text: str) -> Iterator[str]:
    if not isinstance(slot, dict):
        yield f"a slot must be an object with name, start and end, found {slot!r}"
        return
    if not isinstance(_name(slot), str):
        yield f"no name, as text, in the slot {slot!r}"
    start, end = slot.get("start"), slot.get("end")
    # A bool is an int for Python, but true is not a position.
    if type(start) is not int or type(end) is not int:
        yield f"start and end must be whole numbers in the slot {slot!r}"
    elif slot.get("value") not in (None, text[max(start, 0) : max(end, 0)]):
        yield (
            f"slot {_name(slot)!r} has the value {slot['value']!r}, but {start} to {end} is "
            f"{text[max(start, 0) : max(end, 0)]!r}; positions count code points"
        )


def _name(slot: dict[str, Any]) -> Any:
    return next((slot[key] for key in _NAMES if key in slot), None)
