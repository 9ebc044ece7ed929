"""Words with times as subtitles."""

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_LINE = 42
"""Characters of a subtitle at most, as broadcasters have them."""
LONGEST_PAUSE = 1.0
"""Seconds between two words from which on a new subtitle begins."""


@dataclass(frozen=True)
class Word:
    """A word that was heard."""

    text: str
    """The word."""
    start: float
    """Where it begins, in seconds."""
    end: float
    """Where it ends, in seconds."""
    score: float
    """Geometric mean of its characters' probabilities."""


def to_subrip(words: Sequence[Word]) -> str:
    """Writes words as SubRip (.srt), the subtitles that every player reads.

    Args:
        words: In order.

    Returns:
        Numbered blocks with a time range and a line of text, with an empty line between them.
    """
    blocks = [
        f"{number}\n{_time(line[0].start)} --> {_time(line[-1].end)}\n{_join(line)}\n"
        for number, line in enumerate(_lines(words), start=1)
    ]
    return "\n".join(blocks)


def _lines(words: Sequence[Word]) -> list[list[Word]]:
    lines: list[list[Word]] = []
    for word in words:
        fits = lines and len(_join([*lines[-1], word])) <= LONGEST_LINE
        if fits and word.start - lines[-1][-1].end <= LONGEST_PAUSE:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _join(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
