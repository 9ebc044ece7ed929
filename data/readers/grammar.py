"""Sentences with intents and slots, made from the phrasings of a grammar file.

A line that starts in the first column is a heading, the indented lines below it are its content;
a line that starts with `#` is a comment, an empty line does not count. The headings, with what
may be left out in square brackets:

    size SPLIT COUNT              how many sentences each intent gets in a split
    list NAME [SPLIT]             values to be used in this split only; without it, in all
    intent NAME [SPLIT] [COUNT]   phrasings of a split, by default train, and a size of their own

The content is separated by line ends or `|`. In it, `(a|b)` is one of its alternatives, `[a]` is
there or not, `{city}` is a value of the list `city` marked as a slot of that name, `{from:city}`
one marked as the slot `from`, and `<city>` one that is not marked. Values may be made of all these
too, as long as no slot lies inside another:

    list city
        paris | (new|old) delhi
    intent get_weather
        [please] tell me the weather in {city}

Without a size, an intent gets all its sentences, up to 200. The same file gives the same sentences
each time. A sentence comes once, and a sentence that means two things is an error.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from data.readers.grammar_blocks import Block, Line, Report, read_blocks
from data.readers.templates import Piece, Template, draw
from data.splits import Problem
from data.utterances import Slot, Utterance

SUFFIX = ".grammar"

_SPLITS = ("train", "validation", "test")
_DEFAULT_SIZE = 200
_MAX_TRIES = 300


def read_grammar(path: Path) -> tuple[list[Utterance], list[Problem]]:
    """Makes the sentences of a grammar.

    Args:
        path: A UTF-8 file in the format that this module describes.

    Returns:
        The sentences, intent by intent, and what a person should know about the grammar. `where`
        is `file:line#number`, with the line of the phrasing. Splits without phrasings have no
        sentences; `data.hold_out` cuts them out of the others.

    Raises:
        DataError: Lists everything that is wrong, as `file:line: problem`.
    """
    report = Report(path)
    blocks = read_blocks(path, report)
    report.raise_errors()
    utterances = _Maker(blocks, report).make()
    report.raise_errors()
    _warn_of_missing_splits(utterances, report)
    return utterances, report.problems


class _Maker:
    """Makes sentences, none of them twice."""

    def __init__(self, blocks: Sequence[Block], report: Report) -> None:
        self.intents = [block for block in blocks if block.kind == "intent"]
        self.sizes = {block[1:3]: block.amount for block in blocks if block.amount}
        self.values: dict[tuple[str, str], list[Template]] = {}
        for block in blocks:
            if block.kind == "list":
                for split in [block.split] if block.split else _SPLITS:
                    templates = [template for _, template in block.content]
                    self.values.setdefault((block.name, split), []).extend(templates)
        self.report = report
        self.made: dict[str, Utterance] = {}
        self.conflicts: set[int] = set()

    def make(self) -> list[Utterance]:
        """All sentences, the training sentences of an intent first."""
        for intent in dict.fromkeys(block.name for block in self.intents):
            for split in _SPLITS:
                blocks = [block for block in self.intents if block[1:3] == (intent, split)]
                if blocks:
                    self._fill(intent, split, blocks)
        return list(self.made.values())

    def _fill(self, intent: str, split: str, blocks: Sequence[Block]) -> None:
        """Takes a sentence of each phrasing in turn until there are enough or no more."""
        generator = random.Random(f"{intent}/{split}")
        phrasings = deque(line for block in blocks for line in block.content)
        generator.shuffle(phrasings)
        asked = self.sizes.get((intent, split)) or self.sizes.get(("", split)) or 0
        before = len(self.made)
        while phrasings and len(self.made) - before < (asked or _DEFAULT_SIZE):
            phrasing = phrasings.popleft()
            if self._add(intent, split, phrasing, generator):
                phrasings.append(phrasing)
        found = len(self.made) - before
        if found < max(asked, 1):
            self.report.error(
                blocks[0].number,
                f"{found} different sentences for {intent!r} in {split}, expected {max(asked, 1)}; "
                "add phrasings or values, or ask for fewer sentences",
            )

    def _add(self, intent: str, split: str, phrasing: Line, generator: random.Random) -> bool:
        """Adds a sentence that is new; after many tries without one there is none."""
        where = f"{self.report.path.name}:{phrasing.number}#{len(self.made) + 1}"
        for _ in range(_MAX_TRIES):
            pieces = draw(phrasing.template, lambda name: self.values[name, split], generator)
            text, slots = _assemble(pieces)
            utterance = Utterance(text, intent, slots, split, where)
            earlier = self.made.setdefault(text, utterance)
            if earlier is utterance:
                self._check_slots(utterance, phrasing)
                return True
            self._check_meaning(utterance, earlier, phrasing)
        return False

    def _check_slots(self, utterance: Utterance, phrasing: Line) -> None:
        for slot in utterance.slots:
            around = utterance.text[max(slot.start - 1, 0) : slot.start]
            around += utterance.text[slot.end : slot.end + 1]
            if any(character.isalnum() for character in around):
                self._conflict(phrasing, f"slot {slot.name!r} touches a letter; leave a blank")

    def _check_meaning(self, new: Utterance, earlier: Utterance, phrasing: Line) -> None:
        if (new.intent, new.slots) != (earlier.intent, earlier.slots):
            line = earlier.where.rpartition("#")[0].rpartition(":")[2]
            self._conflict(
                phrasing,
                f"{new.text!r} is {_meaning(new)} here and {_meaning(earlier)} in line {line}; "
                "change one of them",
            )

    def _conflict(self, phrasing: Line, message: str) -> None:
        if phrasing.number not in self.conflicts:
            self.conflicts.add(phrasing.number)
            self.report.error(phrasing.number, message)


def _assemble(pieces: Sequence[Piece]) -> tuple[str, tuple[Slot, ...]]:
    """Joins pieces of text, with any amount of white space as one blank."""
    text, slots = "", []
    for piece, slot in pieces:
        if not text or text.endswith(" "):
            piece = piece.lstrip()
        if slot:
            slots.append(Slot(slot, len(text), len(text) + len(piece)))
        text += piece
    return text.rstrip(), tuple(slots)


def _meaning(utterance: Utterance) -> str:
    values = [f"{slot.name} {utterance.text[slot.start : slot.end]!r}" for slot in utterance.slots]
    return " with ".join([repr(utterance.intent), *([", ".join(values)] if values else [])])


def _warn_of_missing_splits(utterances: Sequence[Utterance], report: Report) -> None:
    present = {utterance.split for utterance in utterances}
    missing = [split for split in _SPLITS if split not in present]
    if missing and "train" in present:
        report.warn(
            1,
            f"no phrasings are marked {' or '.join(missing)}: what is cut out of the training "
            "sentences for it has their phrasings and values and says little about others",
        )
