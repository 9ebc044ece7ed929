"""Report sections about sentences with an intent and slots, and about those out of scope."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from shared.metrics import Span, span_scores
from shared.training import plots
from shared.training.report import Section, Table

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Meaning:
    """What a sentence means, or was taken to mean.

    Attributes:
        intent: Its name.
        score: The probability of the intent; 1 for the true one.
        slots: The probability of each slot, with positions in code points; 1 for the true ones.
    """

    intent: str
    score: float
    slots: Mapping[Span, float]

    @property
    def confidence(self) -> float:
        """The score of the least certain part."""
        return min(self.score, *self.slots.values(), 1.0)

    def equals(self, other: "Meaning") -> bool:
        """Whether intent and slots are the same, whatever the scores."""
        return self.intent == other.intent and self.slots.keys() == other.slots.keys()


def align(text: str, truth: Meaning, answer: Meaning) -> Table:
    """Sets true and answered slots under the pieces of a sentence that they begin or end.

    Args:
        text: The sentence.
        truth: What it means.
        answer: What it was taken to mean.

    Returns:
        A row for each; where a slot goes on in the next piece, it is "…". Differences are marked.
    """
    inner = {bound for slots in (truth.slots, answer.slots) for _, *span in slots for bound in span}
    bounds = sorted({0, len(text), *inner})
    pieces = [(start, end) for start, end in pairwise(bounds) if text[start:end].strip()]
    expected, answered = _names(truth.slots, pieces), _names(answer.slots, pieces)
    scores = {(name, start): f" {score:.1%}" for (name, start, _), score in answer.slots.items()}
    scored = [
        name + scores.get((name, start), "")
        for name, (start, _) in zip(answered, pieces, strict=True)
    ]
    pairs = zip([truth.intent, *expected], [answer.intent, *answered], strict=True)
    return Table(
        ("", "intent", *(text[start:end].strip() for start, end in pieces)),
        [
            ("expected", truth.intent, *expected),
            ("answered", f"{answer.intent} {answer.score:.1%}", *scored),
        ],
        marked={(1, column) for column, (a, b) in enumerate(pairs, start=1) if a != b},
    )


def _names(slots: Iterable[Span], pieces: Sequence[tuple[int, int]]) -> list[str]:
    names = dict.fromkeys(pieces, "")
    for name, first, last in slots:
        for start, end in pieces:
            if first <= start and end <= last:
                names[start, end] = name if start == first else "…"
    return list(names.values())


def slot_sections(truths: Sequence[Meaning], answers: Sequence[Meaning]) -> list[Section]:
    """How well slots are found, by name, and how far their scores can be trusted.

    Args:
        truths: What each sentence in scope means.
        answers: What it was taken to mean.

    Returns:
        Two sections, or none where there are no slots at all.
    """
    scores = span_scores(
        [list(truth.slots) for truth in truths], [list(answer.slots) for answer in answers]
    )
    if not scores.names:
        return []
    rows = [(s.label, s.precision, s.recall, s.f1, s.support) for s in scores.names]
    classes = Section(
        "Slots",
        "A slot is right if its name, its beginning and its end are. Precision is the share of "
        "right ones among those answered, recall the share of the true ones that were found, F1 "
        f"their harmonic mean. Over all slots it is {scores.f1:.2%}.",
        figures=[plots.class_scores(scores.names)],
        tables=[Table(("slot", "precision", "recall", "F1", "slots"), rows)],
    )
    return [classes, _confidence_section(truths, answers)]


def _confidence_section(truths: Sequence[Meaning], answers: Sequence[Meaning]) -> Section:
    found = [
        (score, span in truth.slots)
        for truth, answer in zip(truths, answers, strict=True)
        for span, score in answer.slots.items()
    ]
    groups = {
        f"{name} slots": np.array([score for score, is_right in found if is_right == wanted])
        for name, wanted in (("right", True), ("wrong", False))
    }
    caption = "A good model is sure where it is right, unsure where wrong."
    figure = plots.score_histograms(groups, "confidence", caption)
    return Section("Confidence of slots", figures=[figure])


def rejection_section(scores: np.ndarray, outside: np.ndarray, threshold: float) -> Section:
    """How well sentences out of scope are told from the others, with this and other thresholds.

    Args:
        scores: float `(sentences,)`, high for those that are taken to be out of scope.
        outside: bool `(sentences,)`, which of them are.
        threshold: The score from which a sentence is rejected.
    """
    rows = [
        (_name_limit(limit, threshold), *_shares(scores, outside, limit))
        for limit in sorted({*THRESHOLDS, threshold})
    ]
    figure = plots.score_histograms(
        {"sentences in scope": scores[~outside], "out of scope": scores[outside]},
        "out-of-scope score",
        "The dashed line is the threshold.",
        threshold,
    )
    return Section(
        "Out of scope",
        f"A sentence is answered as out of scope if its score reaches {threshold:.2f}, which was "
        "chosen on validation sentences. Recall is the share of the sentences out of scope that "
        "is answered so, precision the share of them among those answered so. A client can "
        "compare the score with a threshold of its own.",
        figures=[figure],
        tables=[Table(("threshold", "recall", "precision", "rejected in scope"), rows)],
    )


def _name_limit(limit: float, threshold: float) -> str:
    return f"{limit:.2f}, chosen" if limit == threshold else f"{limit:.2f}"


def _shares(scores: np.ndarray, outside: np.ndarray, limit: float) -> tuple[float, float, float]:
    rejected = scores >= limit
    return _share(rejected[outside]), _share(outside[rejected]), _share(rejected[~outside])


def _share(chosen: np.ndarray) -> float:
    return float(chosen.mean()) if chosen.size else float("nan")
