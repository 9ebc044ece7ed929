"""Everything that is wrong with sentences, intents and slots, found in one pass before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from data.checks import Survey, at_most, by_name, imbalance
from data.splits import DataError, Problem, Split, Splits
from data.utterances import Slot, Utterance, read_utterances

Boundaries = Callable[[Sequence[str]], Sequence[Sequence[tuple[int, int]]]]
"""Start and end of every token of each text, in code points."""

_MAX_LISTED = 10
_TOKENS_AROUND = 2
_NO_TOKENS = "no token; expected a text with at least one word"


@dataclass(frozen=True, eq=False)
class _Scan:
    """A split without the sentences that have no token, and what is wrong with it."""

    split: Split
    utterances: list[Utterance]
    problems: list[Problem]


def survey_utterances(splits: Splits, boundaries: Boundaries) -> Survey:
    """Reads every sentence once and lists all that is wrong.

    Errors are slots that begin or end inside a token or hold none, training sentences without a
    token, and training data with one intent. All else is a warning: published sets do repeat
    sentences and test intents that they do not train.

    Args:
        splits: Sentences as `data.load(..., kind="utterances")` gives them.
        boundaries: Finds the tokens of texts.

    Returns:
        The problems; the examples without those to validate or test on that have no token; and as
        fact `slot_names`, the types of slots in training in alphabetical order. Nothing is raised
        for bad data; call `raise_errors` for that once the warnings have been shown.
    """
    scans = {
        name: _scan(name, split, splits.labels, boundaries)
        for name, split in by_name(splits).items()
    }
    train, validation, test = (scan.split for scan in scans.values())
    kept = replace(splits, train=train, validation=validation, test=test)
    problems = [
        *splits.problems,
        *(problem for scan in scans.values() for problem in scan.problems),
        *_label_problems(scans),
        *_conflicts(scans["train"].utterances),
        *_leaks(scans),
    ]
    slot_names = sorted(_slot_counts(scans["train"]))
    return Survey(kept, tuple(problems), {"slot_names": np.array(slot_names, dtype=np.str_)})


def check_utterances(
    split: Split, labels: Sequence[str], boundaries: Boundaries
) -> tuple[Split, list[Problem]]:
    """Leaves out the sentences that a model cannot be measured on.

    Args:
        split: Sentences.
        labels: Their intents in index order.
        boundaries: Finds the tokens of texts.

    Returns:
        The sentences with tokens whose slots begin and end between them, and a warning for each
        of the others.

    Raises:
        DataError: None can be used.
    """
    usable, problems = [], []
    for utterance, tokens in _tokenised(read_utterances(split, labels), boundaries):
        fault = next(_faults(utterance, tokens), None)
        usable.append(fault is None)
        if fault:
            problems.append(Problem("warning", utterance.where, f"left out: {fault}"))
    kept = split.take(np.array(usable, dtype=bool))
    if not kept.size:
        raise DataError([*problems, _nothing_left("data", split)])
    return kept, problems


def _scan(name: str, split: Split, labels: Sequence[str], boundaries: Boundaries) -> _Scan:
    utterances, problems, usable = [], [], []
    for utterance, tokens in _tokenised(read_utterances(split, labels), boundaries):
        usable.append(bool(tokens) or name == "train")
        if not usable[-1]:
            problems.append(Problem("warning", utterance.where, f"left out: {_NO_TOKENS}"))
            continue
        utterances.append(utterance)
        for fault in _faults(utterance, tokens):
            problems.append(Problem("error", utterance.where, fault))
    kept = split.take(np.array(usable, dtype=bool))
    if not kept.size:
        problems.append(_nothing_left(name, split))
    return _Scan(kept, utterances, problems)


def _tokenised(
    utterances: list[Utterance], boundaries: Boundaries
) -> Iterator[tuple[Utterance, Sequence[tuple[int, int]]]]:
    tokens = boundaries([utterance.text for utterance in utterances]) if utterances else []
    return zip(utterances, tokens, strict=True)


def _nothing_left(name: str, split: Split) -> Problem:
    return Problem("error", name, f"none of {split.size} sentences can be used")


def _faults(utterance: Utterance, tokens: Sequence[tuple[int, int]]) -> Iterator[str]:
    if not tokens:
        yield _NO_TOKENS
        return
    for slot in utterance.slots:
        shown = f"slot {slot.name} {utterance.text[slot.start : slot.end]!r}"
        cut = _first_cut(slot, tokens)
        if cut is not None:
            start, end = tokens[cut]
            yield (
                f"{shown} cuts the token {utterance.text[start:end]!r} in "
                f'"{_around(utterance.text, tokens, cut)}"; '
                "a slot must begin and end between tokens"
            )
        elif not any(slot.start <= start < slot.end for start, _ in tokens):
            yield f"{shown} holds no token; remove it"


def _first_cut(slot: Slot, tokens: Sequence[tuple[int, int]]) -> int | None:
    for index, (start, end) in enumerate(tokens):
        if start < slot.start < end or start < slot.end < end:
            return index
    return None


def _around(text: str, tokens: Sequence[tuple[int, int]], index: int) -> str:
    """Shows a token and its neighbours with their boundaries: `… to [yorkshire] on …`."""
    first, last = max(0, index - _TOKENS_AROUND), index + _TOKENS_AROUND + 1
    shown = " ".join(f"[{text[start:end]}]" for start, end in tokens[first:last])
    return ("… " if first else "") + shown + (" …" if last < len(tokens) else "")


def _label_problems(scans: Mapping[str, _Scan]) -> Iterator[Problem]:
    intents = {name: _intent_counts(scan) for name, scan in scans.items()}
    slots = {name: _slot_counts(scan) for name, scan in scans.items()}
    if len(intents["train"]) == 1:
        (intent,) = intents["train"]
        message = (
            f"only the intent {intent!r}; expected two or more: add sentences of another, or some "
            "that are none of it, with the intent out_of_scope"
        )
        yield Problem("error", "train", message)
    yield from _coverage("intents", intents)
    yield from _coverage("slot types", slots)
    names = sorted(intents["train"])
    yield from imbalance("intent", names, np.array([intents["train"][name] for name in names]))


def _intent_counts(scan: _Scan) -> Counter[str]:
    return Counter(utterance.intent for utterance in scan.utterances)


def _slot_counts(scan: _Scan) -> Counter[str]:
    return Counter(slot.name for utterance in scan.utterances for slot in utterance.slots)


def _coverage(nouns: str, counts: Mapping[str, Counter[str]]) -> Iterator[Problem]:
    train = counts["train"]
    for name in ("validation", "test"):
        unseen = counts[name].keys() - train.keys()
        if unseen:
            number = sum(counts[name][label] for label in unseen)
            message = (
                f"{nouns} that train lacks, {number} in all, are counted as mistakes: "
                f"{_listed(unseen)}; add training examples"
            )
            yield Problem("warning", name, message)
    untested = train.keys() - counts["test"].keys()
    if untested:
        message = f"{nouns} that are not measured for lack of examples: {_listed(untested)}"
        yield Problem("warning", "test", message)
    rare = {label for label, count in train.items() if count == 1}
    if rare:
        yield Problem("warning", "train", f"{nouns} of one example: {_listed(rare)}")


def _listed(labels: set[str]) -> str:
    shown = ", ".join(map(repr, sorted(labels)[:_MAX_LISTED]))
    more = len(labels) - _MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def _conflicts(train: Sequence[Utterance]) -> Iterator[Problem]:
    """Finds texts that occur twice with another answer, whatever their case."""
    intents = _differing(train, lambda utterance: utterance.intent)
    yield from at_most(intents, "train", "with another intent", "sentences")
    slots = _differing(train, lambda utterance: utterance.slots)
    yield from at_most(slots, "train", "with other slots", "sentences")


def _differing(
    utterances: Sequence[Utterance], answer: Callable[[Utterance], Hashable]
) -> list[tuple[str, str]]:
    first: dict[str, Utterance] = {}
    pairs = []
    for utterance in utterances:
        earlier = first.setdefault(utterance.text.casefold(), utterance)
        if answer(earlier) != answer(utterance):
            pairs.append((utterance.where, f"the same sentence as {earlier.where}"))
    return pairs


def _leaks(scans: Mapping[str, _Scan]) -> Iterator[Problem]:
    for (earlier_name, earlier), (later_name, later) in combinations(scans.items(), 2):
        places: dict[str, str] = {}
        for utterance in earlier.utterances:
            places.setdefault(utterance.text.casefold(), utterance.where)
        pairs = [
            (utterance.where, f"the same sentence as {places[utterance.text.casefold()]}")
            for utterance in later.utterances
            if utterance.text.casefold() in places
        ]
        what = f"in both {earlier_name} and {later_name}"
        yield from at_most(pairs, later_name, what, "sentences")
