"""Sentences in JSON files: those of Snips, as pieces of text, and those of CLINC, as pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.readers.utterances.findings import SPLIT_NAMES, UtteranceFindings
from data.utterances import OUT_OF_SCOPE, Slot, Utterance

SUFFIX = ".json"

_CLINC_PREFIX = "oos_"
_EXPECTED = (
    'expected {INTENT: [{"data": [{"text"}, {"text", "entity"}]}]} or {"intents": {INTENT: '
    '{"utterances": ...}}} as Snips has them, or {"train": [[TEXT, INTENT]], ...} as CLINC has it'
)


def read_json(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Reads a file of Snips or CLINC.

    Snips: `{INTENT: [{"data": [...]}]}` or `{"intents": {INTENT: {"utterances": [{"data": [...]}]
    }}}`, where the data are pieces `{"text"}` of the sentence; pieces that have `slot_name` or
    `entity` are slots. Its lists of values for entities are not used. CLINC: `{"train": [[TEXT,
    INTENT], ...], "val": ..., "test": ..., "oos_train": ..., ...}`.

    Args:
        path: A UTF-8 file.
        split: The split of sentences in the form of Snips.
        findings: Takes the sentences, named `file:INTENT[number]`, and the problems.
    """
    text = findings.read_text(path)
    if text is None:
        return
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        findings.error(f"{path}:{error.lineno}", f"not JSON: {error.msg}")
        return
    except (ValueError, RecursionError) as error:
        findings.error(str(path), f"not JSON: {error}")
        return
    if not isinstance(content, dict) or not content:
        findings.error(str(path), _EXPECTED)
    elif all(_clinc_split(key) for key in content):
        _read_clinc(content, path, findings)
    else:
        _read_snips(content, path, split, findings)


def _clinc_split(key: str) -> str:
    return SPLIT_NAMES.get(key.removeprefix(_CLINC_PREFIX), "")


def _read_clinc(content: Mapping[str, Any], path: Path, findings: UtteranceFindings) -> None:
    for where, key, row in _entries(content, path, findings):
        if not (isinstance(row, list) and len(row) == 2 and all(map(_is_text, row))):
            findings.error(where, f"expected [TEXT, INTENT], found {row!r}")
            continue
        intent = OUT_OF_SCOPE if key.startswith(_CLINC_PREFIX) else row[1]
        findings.add(Utterance(row[0], intent, (), _clinc_split(key), where))


def _read_snips(
    content: Mapping[str, Any], path: Path, split: str, findings: UtteranceFindings
) -> None:
    intents = content
    if isinstance(content.get("intents"), dict):
        intents = {
            intent: value.get("utterances") if isinstance(value, dict) else value
            for intent, value in content["intents"].items()
        }
        if content.get("entities"):
            findings.warning(str(path), "entities are not used: only utterances are learnt from")
    for where, intent, row in _entries(intents, path, findings):
        pieces = row.get("data") if isinstance(row, dict) else None
        if not (isinstance(pieces, list) and all(map(_is_piece, pieces))):
            findings.error(where, 'expected {"data": [{"text": ..., "entity": ...}, ...]}')
            continue
        text = "".join(piece["text"] for piece in pieces)
        findings.add(Utterance(text, intent, tuple(_slots(pieces)), split, where))


def _entries(
    lists: Mapping[str, Any], path: Path, findings: UtteranceFindings
) -> Iterator[tuple[str, str, Any]]:
    for key, rows in lists.items():
        if isinstance(rows, list):
            for number, row in enumerate(rows):
                yield f"{path}:{key}[{number}]", key, row
        else:
            findings.error(f"{path}:{key}", f"no list of sentences; {_EXPECTED}")


def _is_piece(piece: object) -> bool:
    return (
        isinstance(piece, dict)
        and _is_text(piece.get("text"))
        and all(_is_text(piece.get(key, "")) for key in ("slot_name", "entity"))
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _slots(pieces: Sequence[Mapping[str, str]]) -> Iterator[Slot]:
    position = 0
    for piece in pieces:
        name = piece.get("slot_name") or piece.get("entity")
        end = position + len(piece["text"])
        if name:
            yield Slot(name, position, end)
        position = end
