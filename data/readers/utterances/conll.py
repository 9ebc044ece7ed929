"""Words with BIO tags in columns, one word per line, as the CoNLL shared tasks have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.readers.utterances.findings import UtteranceFindings
from data.readers.utterances.tags import TagReader, joined_spans
from data.utterances import Utterance

SUFFIXES = (".conll", ".conllu", ".bio")

_NUMBERED = ".conllu"
# A word may begin with #, so that only a space, or one of the two keys, makes a comment.
_COMMENT = re.compile(r"# *(intent|text)\s*[:=]\s*(.*)|#(?: |$)")
_DOCUMENT = "-DOCSTART-"

Block = list[tuple[int, str]]
"""The lines of one sentence with their numbers."""


def read_conll(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Reads a file of columns, separated by tabs or spaces, with a blank line between sentences.

    The first column is the word, in `.conllu` files the second, which follows its number; the last
    column is the tag. Each sentence has the line `# intent: NAME` above it, and may have
    `# text = ...`; without it the words are joined by one space.

    Args:
        path: A UTF-8 file.
        split: The split of its sentences.
        findings: Takes the sentences and the problems.
    """
    text = findings.read_text(path)
    if text is None:
        return
    reader = TagReader(path, findings)
    for block in _blocks(text):
        _read_block(block, path, split, reader, findings)
    reader.finish()


def _blocks(text: str) -> Iterator[Block]:
    block: Block = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []


def _read_block(
    block: Block, path: Path, split: str, reader: TagReader, findings: UtteranceFindings
) -> None:
    comments, rows = {}, []
    for number, line in block:
        comment = _COMMENT.match(line)
        if comment and comment[1]:
            comments[comment[1]] = comment[2].strip()
        elif not comment and not line.startswith(_DOCUMENT):
            rows.append((number, line.split()))
    if not rows:
        return
    where = f"{path}:{rows[0][0]}"
    faults = list(_row_faults(rows, path, comments))
    for place, fault in faults:
        findings.error(place, fault)
    if faults:
        return
    words = [columns[_word_column(path)] for _, columns in rows]
    text = comments.get("text", " ".join(words))
    spans = _find(words, text) if "text" in comments else joined_spans(words)
    if spans is None:
        findings.error(where, f"the words {' '.join(words)!r} do not make up the text {text!r}")
        return
    slots = reader.slots(spans, [columns[-1] for _, columns in rows], where)
    if slots is not None:
        findings.add(Utterance(text, comments["intent"], slots, split, where))


def _row_faults(
    rows: Sequence[tuple[int, list[str]]], path: Path, comments: dict[str, str]
) -> Iterator[tuple[str, str]]:
    if "intent" not in comments:
        yield f"{path}:{rows[0][0]}", "no intent; expected a line `# intent: NAME` above the words"
    needed = _word_column(path) + 2
    for number, columns in rows:
        if len(columns) < needed:
            message = (
                f"{len(columns)} columns; expected at least {needed}, the word "
                f"{'second' if needed > 2 else 'first'} and its tag last"
            )
            yield f"{path}:{number}", message


def _word_column(path: Path) -> int:
    return 1 if path.suffix.lower() == _NUMBERED else 0


def _find(words: Sequence[str], text: str) -> list[tuple[int, int]] | None:
    spans: list[tuple[int, int]] = []
    end = 0
    for word in words:
        start = text.find(word, end)
        if start < 0 or text[end:start].strip():
            return None
        end = start + len(word)
        spans.append((start, end))
    return None if text[end:].strip() else spans
