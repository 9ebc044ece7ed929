"""What the readers of sentences have in common: checks of every sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from data import readers
from data.readers.lines import Findings
from data.utterances import OUT_OF_SCOPE, Slot, Utterance

SPLIT_NAMES = {**readers.SPLIT_NAMES, "dev": "validation"}
"""What files and rows may call a split, and what it is called here."""

_OUT_OF_SCOPE_NAMES = (OUT_OF_SCOPE, "oos", "nlu_fallback")


@dataclass
class UtteranceFindings(Findings):
    """The sentences of some files, and everything that is wrong with them.

    Args:
        utterances: The sentences that can be used.
    """

    utterances: list[Utterance] = field(default_factory=list)

    def add(self, utterance: Utterance) -> None:
        """Takes a sentence, or notes what is wrong with it.

        White space around the text and around each slot goes. The intents `oos` and `nlu_fallback`
        become `out_of_scope`.

        Args:
            utterance: A sentence as it stands in the file; its split under any of `SPLIT_NAMES`.
        """
        faults = list(_faults(utterance))
        for fault in faults:
            self.error(utterance.where, fault)
        if not faults:
            self.utterances.append(_tidy(utterance))


def known_intent(intent: str) -> str:
    """The intent without white space around it; `out_of_scope` for its other usual names."""
    intent = intent.strip()
    return OUT_OF_SCOPE if intent.lower() in _OUT_OF_SCOPE_NAMES else intent


def is_name(name: str) -> bool:
    """Whether a text can name an intent, a slot or a split: one line that UTF-8 can spell."""
    return bool(name.strip()) and name.strip().splitlines() == [name.strip()] and _is_utf8(name)


def _is_utf8(text: str) -> bool:
    """JSON and YAML can spell halves of surrogate pairs, which no file of text can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _faults(utterance: Utterance) -> Iterator[str]:
    text = utterance.text
    if not text.strip():
        yield "empty text"
    elif not _is_utf8(text):
        yield f"text {text!r} holds half a surrogate pair; write the character itself"
    if not is_name(utterance.intent):
        yield f"intent {utterance.intent!r}; expected one line of text that is not empty"
    if utterance.split.strip().lower() not in SPLIT_NAMES:
        yield f"unknown split {utterance.split!r}; expected one of {', '.join(SPLIT_NAMES)}"
    outside = [fault for slot in utterance.slots for fault in _slot_faults(slot, text)]
    yield from outside or _overlaps(utterance)


def _slot_faults(slot: Slot, text: str) -> Iterator[str]:
    if not is_name(slot.name):
        yield f"slot {slot.name!r}; expected a name, one line of text that is not empty"
    if not 0 <= slot.start < slot.end <= len(text):
        yield (
            f"slot {slot.name!r} from {slot.start} to {slot.end} is not a part of the text, "
            f"which has {len(text)} characters; expected 0 <= start < end <= {len(text)}"
        )
    elif not text[slot.start : slot.end].strip():
        yield f"slot {slot.name!r} from {slot.start} to {slot.end} is only white space"


def _overlaps(utterance: Utterance) -> Iterator[str]:
    for first, second in pairwise(sorted(utterance.slots, key=lambda slot: slot[1:])):
        if second.start < first.end:
            yield (
                f"slots {_shown(first, utterance.text)} and {_shown(second, utterance.text)} "
                "overlap; a character may belong to one slot"
            )


def _shown(slot: Slot, text: str) -> str:
    return f"{slot.name} {text[slot.start : slot.end]!r}"


def _tidy(utterance: Utterance) -> Utterance:
    text = utterance.text.strip()
    shift = len(utterance.text) - len(utterance.text.lstrip())
    slots = sorted((_trim(slot, utterance.text) for slot in utterance.slots), key=lambda s: s.start)
    return replace(
        utterance,
        text=text,
        intent=known_intent(utterance.intent),
        slots=tuple(Slot(slot.name, slot.start - shift, slot.end - shift) for slot in slots),
        split=SPLIT_NAMES[utterance.split.strip().lower()],
    )


def _trim(slot: Slot, text: str) -> Slot:
    value = text[slot.start : slot.end]
    start = slot.start + len(value) - len(value.lstrip())
    return Slot(slot.name.strip(), start, start + len(value.strip()))
