"""Slots from BIO tags of words (Ramshaw and Marcus, 1995, in the form known as IOB2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.readers.utterances.findings import UtteranceFindings
from data.utterances import Slot

_MAX_NAMED = 3


def joined_spans(words: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each word in the text that joins them by one space."""
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


class TagReader:
    """Makes slots of the tags in one file.

    As in seqeval's default mode, an `I-` tag that continues nothing begins a slot; how many there
    are is a warning for the file.

    Args:
        path: The file.
        findings: Takes what is wrong.
    """

    def __init__(self, path: Path, findings: UtteranceFindings) -> None:
        self._path, self._findings = path, findings
        self._stray: list[str] = []

    def slots(
        self, spans: Sequence[tuple[int, int]], tags: Sequence[str], where: str
    ) -> tuple[Slot, ...] | None:
        """The slots of a sentence.

        Args:
            spans: Start and end of each word in the text.
            tags: A tag for each word: `O`, `B-NAME` or `I-NAME`.
            where: The place of the sentence.

        Returns:
            The slots; `None`, with the error noted, if the tags are not usable.
        """
        fault = _fault(spans, tags)
        if fault:
            self._findings.error(where, fault)
            return None
        return tuple(self._slots(spans, tags, where))

    def finish(self) -> None:
        """Adds the warning for the file, if there is one to give."""
        if not self._stray:
            return
        named = ", ".join(self._stray[:_MAX_NAMED])
        rest = ", …" if len(self._stray) > _MAX_NAMED else ""
        message = (
            f"{len(self._stray)} I- tags do not continue a slot of their name and are read as the "
            f"beginning of one: {named}{rest}"
        )
        self._findings.warning(str(self._path), message)

    def _slots(
        self, spans: Sequence[tuple[int, int]], tags: Sequence[str], where: str
    ) -> Iterator[Slot]:
        current: Slot | None = None
        for (start, end), tag in zip(spans, tags, strict=True):
            prefix, _, name = tag.partition("-")
            if prefix == "I" and current is not None and current.name == name:
                current = current._replace(end=end)
                continue
            if prefix == "I":
                self._stray.append(f"{tag} in {where}")
            if current is not None:
                yield current
            current = None if prefix == "O" else Slot(name, start, end)
        if current is not None:
            yield current


def _fault(spans: Sequence[tuple[int, int]], tags: Sequence[str]) -> str:
    if len(spans) != len(tags):
        return f"{len(spans)} words and {len(tags)} tags; expected one tag per word"
    unknown = sorted({tag for tag in tags if tag != "O" and not _begins_or_continues(tag)})
    if unknown:
        return f"unknown tags {', '.join(map(repr, unknown))}; expected O, B-NAME or I-NAME"
    return ""


def _begins_or_continues(tag: str) -> bool:
    prefix, _, name = tag.partition("-")
    return prefix in ("B", "I") and bool(name)
