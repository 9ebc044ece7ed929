"""What the readers of recordings have in common: checks of every recording."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from data.readers.lines import Findings
from data.readers.utterances.findings import SPLIT_NAMES, is_name
from data.recordings import Recording, RecordingFields, normalize_transcript, place


@dataclass
class RecordingFindings(Findings):
    """The recordings of some files, and everything that is wrong with them.

    Args:
        kind: `"keywords"` or `"transcripts"`, what their texts are.
        fields: Which columns hold what.
        recordings: The recordings that can be used.
    """

    kind: str = "transcripts"
    fields: RecordingFields = RecordingFields()
    recordings: list[Recording] = field(default_factory=list)

    def add(self, recording: Recording, where: str) -> None:
        """Takes a recording, or notes what is wrong with it.

        Args:
            recording: A recording as it stands in the file; its split under any of `SPLIT_NAMES`.
            where: Where that is.
        """
        tidy = _tidy(recording)
        faults = list(self._faults(tidy))
        for fault in faults:
            self.error(where, fault)
        if not faults:
            self.recordings.append(replace(tidy, split=SPLIT_NAMES[tidy.split]))

    def _faults(self, recording: Recording) -> Iterator[str]:
        yield from _file_faults(recording.path)
        yield from _segment_faults(recording.start, recording.end)
        yield from self._text_faults(recording.text)
        if recording.split not in SPLIT_NAMES:
            yield f"unknown split {recording.split!r}; expected one of {', '.join(SPLIT_NAMES)}"
        if recording.speaker and not is_name(recording.speaker):
            yield f"speaker {recording.speaker!r}; expected one line of text"

    def _text_faults(self, text: str) -> Iterator[str]:
        if not _is_utf8(text):
            yield f"the text {text!r} holds half a surrogate pair; write the character itself"
        elif self.kind == "keywords" and not is_name(text):
            yield f"word {text!r}; expected one line of text that is not empty"
        elif self.kind == "transcripts" and not normalize_transcript(text):
            yield f"no word in the transcript {text!r}; write what is said, or leave the row out"


def _tidy(recording: Recording) -> Recording:
    return replace(
        recording,
        text=recording.text.strip(),
        split=recording.split.strip().lower(),
        speaker=recording.speaker.strip(),
        where=place(recording.path, recording.start, recording.end),
    )


def _file_faults(path: str) -> Iterator[str]:
    if not os.path.isfile(path):
        yield f"no file {path!r}; paths are relative to the folder of the table"
    elif not os.access(path, os.R_OK):
        yield f"no right to read {path!r}"


def _segment_faults(start: float, end: float | None) -> Iterator[str]:
    if not (math.isfinite(start) and start >= 0):
        yield f"start {start:g}; expected 0 or more seconds"
    elif end is not None and not start < end < math.inf:
        yield f"start {start:g} and end {end:g}; expected a start before the end, in seconds"


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
