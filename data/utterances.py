"""Sentences with an intent and slots, and splits of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.splits import Split, from_bytes

OUT_OF_SCOPE = "out_of_scope"
"""The intent of sentences that none of the others covers."""

_COLUMNS = ("slot_names", "slot_starts", "slot_ends")
_BATCH = 1024


class Slot(NamedTuple):
    """A part of a text that has a name.

    Args:
        name: Type of the slot, such as `"city"`.
        start: Position of its first character, in code points.
        end: Position behind its last character, in code points.
    """

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Utterance:
    """One sentence as a reader found it.

    Args:
        text: The sentence.
        intent: What the speaker wants; `OUT_OF_SCOPE` for none of the others.
        slots: Its slots, in order, none of which overlap.
        split: `"train"`, `"validation"` or `"test"`.
        where: What a person needs to find it, such as `file:line`.
    """

    text: str
    intent: str
    slots: tuple[Slot, ...] = ()
    split: str = "train"
    where: str = ""


def group_utterances(
    utterances: Sequence[Utterance],
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Numbers the intents in alphabetical order and groups the sentences by split.

    Args:
        utterances: The sentences in the order in which they shall be stored.

    Returns:
        The intents in index order, and the splits that have sentences, by name. The inputs are
        UTF-8 bytes; the annotations are `slot_names` string, `slot_starts` and `slot_ends` int32,
        each `(size, slots)`, padded with `""` and -1.
    """
    labels = tuple(sorted({utterance.intent for utterance in utterances}))
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.split, []).append(utterance)
    width = max([1, *(len(utterance.slots) for utterance in utterances)])
    return labels, {name: _split(group, labels, width) for name, group in groups.items()}


def read_utterances(split: Split, labels: Sequence[str]) -> list[Utterance]:
    """The sentences of a split that `group_utterances` made, in stored order.

    Args:
        split: Sentences with the annotations of slots.
        labels: The intents in index order.

    Returns:
        One utterance per example; `where` is its id, `split` is not known here and left as it is.
    """
    batches = split.source(split.rows, None).batch(_BATCH).as_numpy_iterator()
    texts = (text.decode() for batch in batches for text in batch["input"])
    columns = (split.annotations[name] for name in _COLUMNS)
    return [
        Utterance(text, labels[label], _slots(*slots), where=where)
        for text, label, where, *slots in zip(texts, split.labels, split.ids, *columns, strict=True)
    ]


def _slots(names: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[Slot, ...]:
    return tuple(
        Slot(name.decode(), int(start), int(end))
        for name, start, end in zip(names, starts, ends, strict=True)
        if name
    )


def _split(utterances: Sequence[Utterance], labels: Sequence[str], width: int) -> Split:
    index = {label: number for number, label in enumerate(labels)}
    names = np.full((len(utterances), width), b"", dtype=object)
    starts = np.full((len(utterances), width), -1, dtype=np.int32)
    ends = starts.copy()
    for row, utterance in enumerate(utterances):
        for column, slot in enumerate(utterance.slots):
            names[row, column] = slot.name.encode()
            starts[row, column], ends[row, column] = slot.start, slot.end
    return from_bytes(
        [utterance.text.encode() for utterance in utterances],
        [index[utterance.intent] for utterance in utterances],
        [utterance.where for utterance in utterances],
        {"slot_names": names, "slot_starts": starts, "slot_ends": ends},
    )
