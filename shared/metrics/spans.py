"""Metrics of spans, the named parts of a sentence, and of sentences with an intent and slots.

A span is found if name, start and end are right: Tjong Kim Sang and De Meulder, "Introduction to
the CoNLL-2003 shared task", 2003, https://aclanthology.org/W03-0419.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.metrics.classification import ClassScores

Span = tuple[str, int, int]
"""Name, start and end; the end is the position behind the last one of the span."""


@dataclass(frozen=True)
class SpanScores:
    """How well spans are found, over all sentences and names (micro average).

    Attributes:
        precision: Share of the predicted spans that are right.
        recall: Share of the true spans that are found.
        f1: Harmonic mean of both. Without any true or predicted spans nothing is wrong, and all
            three are 1; otherwise a share of nothing is 0, as in seqeval.
        names: The scores of each name found among true or predicted spans, in alphabetical order.
    """

    precision: float
    recall: float
    f1: float
    names: tuple[ClassScores, ...]


def bio_spans(tags: Sequence[str]) -> list[Span]:
    """Reads the spans off BIO tags, as the CoNLL evaluation and seqeval's default do.

    Args:
        tags: `"O"`, `"B-name"` or `"I-name"` for each position. An `I-name` that continues no span
            of its name begins one.

    Returns:
        The spans in order. Where seqeval has the position of the last tag, `end` is one more.

    Raises:
        ValueError: On a tag that is none of these.
    """
    spans: list[Span] = []
    continued = ""
    for position, tag in enumerate(tags):
        prefix, name = _parse(tag, position)
        if name and (prefix == "B" or name != continued):
            spans.append((name, position, position + 1))
        elif name:
            spans[-1] = (name, spans[-1][1], position + 1)
        continued = name
    return spans


def span_scores(
    gold: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]]
) -> SpanScores:
    """Scores predicted spans against the true ones.

    Args:
        gold: The true spans of each sentence, in any order; one that occurs twice counts once.
        predicted: The predicted spans of each sentence, likewise.

    Returns:
        The scores over all sentences and of each name.

    Raises:
        ValueError: If the numbers of sentences differ.
    """
    _check_lengths(gold=gold, predicted=predicted)
    pairs = [(set(true), set(found)) for true, found in zip(gold, predicted, strict=True)]
    true = _count_names(true for true, _ in pairs)
    found = _count_names(found for _, found in pairs)
    right = _count_names(true & found for true, found in pairs)
    nothing_wrong = 0.0 if true or found else 1.0
    return SpanScores(
        precision=_share(right.total(), found.total(), otherwise=nothing_wrong),
        recall=_share(right.total(), true.total(), otherwise=nothing_wrong),
        f1=_share(2 * right.total(), true.total() + found.total(), otherwise=nothing_wrong),
        names=tuple(
            _name_scores(name, right[name], true[name], found[name])
            for name in sorted(true | found)
        ),
    )


def understanding_metrics(
    gold_intents: Sequence[str],
    predicted_intents: Sequence[str],
    gold_slots: Sequence[Collection[Span]],
    predicted_slots: Sequence[Collection[Span]],
    out_of_scope: str | None = None,
) -> dict[str, float]:
    """Computes the metrics of answers that are an intent and slots.

    An example is out of scope if that is its true intent. An example answered as out of scope is
    taken to have no slots, whatever was predicted.

    Args:
        gold_intents: The true intent of each example.
        predicted_intents: The answered intent of each example.
        gold_slots: The true slots of each example.
        predicted_slots: The answered slots of each example.
        out_of_scope: The intent of sentences that none of the others covers, if there is one.

    Returns:
        Fractions. `sentence_accuracy`: share of all examples with the right intent and exactly the
        right slots; for an example out of scope the intent suffices. If there are examples in
        scope, `intent_accuracy` and `slot_f1` over these alone. If there are examples out of
        scope, `out_of_scope_recall`, the share of them that is answered so, and
        `out_of_scope_precision`, the share of them among the examples answered so; 0 if none is.

    Raises:
        ValueError: If there are no examples, or the lengths differ.
    """
    _check_lengths(
        gold_intents=gold_intents,
        predicted_intents=predicted_intents,
        gold_slots=gold_slots,
        predicted_slots=predicted_slots,
    )
    if not gold_intents:
        raise ValueError("There are no examples; expected at least one.")
    gold, answers = np.array(gold_intents, object), np.array(predicted_intents, object)
    rejectable, rejected = gold == out_of_scope, answers == out_of_scope
    true = _slots_in_scope(gold_slots, rejectable)
    found = _slots_in_scope(predicted_slots, rejected)
    same_slots = np.array([a == b for a, b in zip(true, found, strict=True)])
    metrics = {}
    if not rejectable.all():
        in_scope = np.flatnonzero(~rejectable)
        scores = span_scores([true[i] for i in in_scope], [found[i] for i in in_scope])
        metrics["intent_accuracy"] = float((gold == answers)[in_scope].mean())
        metrics["slot_f1"] = scores.f1
    metrics["sentence_accuracy"] = float(((gold == answers) & same_slots).mean())
    if rejectable.any():
        right = int((rejectable & rejected).sum())
        metrics["out_of_scope_recall"] = _share(right, int(rejectable.sum()), otherwise=0.0)
        metrics["out_of_scope_precision"] = _share(right, int(rejected.sum()), otherwise=0.0)
    return metrics


def _parse(tag: str, position: int) -> tuple[str, str]:
    prefix, _, name = tag.partition("-")
    if tag != "O" and not (prefix in ("B", "I") and name):
        raise ValueError(
            f"Tag {position} is {tag!r}; expected 'O', 'B-name' or 'I-name'. Convert other schemes "
            "to BIO first."
        )
    return prefix, name


def _count_names(sentences: Iterable[Collection[Span]]) -> Counter[str]:
    return Counter(name for spans in sentences for name, _, _ in spans)


def _name_scores(name: str, right: int, true: int, found: int) -> ClassScores:
    return ClassScores(
        label=name,
        precision=_share(right, found, otherwise=np.nan),
        recall=_share(right, true, otherwise=np.nan),
        f1=_share(2 * right, true + found, otherwise=np.nan),
        support=true,
    )


def _slots_in_scope(
    slots: Sequence[Collection[Span]], out_of_scope: np.ndarray
) -> list[frozenset[Span]]:
    return [
        frozenset() if rejected else frozenset(spans)
        for spans, rejected in zip(slots, out_of_scope, strict=True)
    ]


def _share(part: int, whole: int, otherwise: float) -> float:
    return part / whole if whole else otherwise


def _check_lengths(**sequences: Sequence[object]) -> None:
    lengths = {name: len(values) for name, values in sequences.items()}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{length} `{name}`" for name, length in lengths.items())
        raise ValueError(f"There are {listing}; expected one of each for every example.")
