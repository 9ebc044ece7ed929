"""Evaluates an exported model for intents and slots: `python -m apps.nlu.evaluate --help`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.nlu.train import build_app
from shared.metrics import Span, bio_spans, uncalibrated, understanding_metrics
from shared.training.app import Evaluation, Split
from shared.training.evaluation import Answers, answer_split, evaluate_main
from shared.training.report import Section, classification_sections
from shared.training.understanding_report import Meaning, align, rejection_section, slot_sections

if TYPE_CHECKING:
    import keras

    from shared.export.saved_model import ServedModel
    from shared.training.batching import Batches

SHOWN_MISTAKES = 15


def evaluate(model: "ServedModel", split: Split) -> Evaluation:
    """Metrics, report sections and mistakes of a served model on one split.

    Args:
        model: In memory or reloaded.
        split: Sentences with intents in the order of `model.labels`, and slots.

    Returns:
        Intent accuracy, slot F1, sentence accuracy and, if the split has such sentences,
        out-of-scope recall and precision, as fractions; the report's sections; every mistake, the
        most confident first.
    """
    # Imported here, so that --help is answered without loading TensorFlow.
    from data.utterances import OUT_OF_SCOPE

    answers = answer_split(model, split, "text")
    truths = _read_truths([model.labels[label] for label in answers.labels], split.annotations)
    meanings = _read_meanings(answers.outputs)
    metrics = understanding_metrics(
        [truth.intent for truth in truths],
        [meaning.intent for meaning in meanings],
        [list(truth.slots) for truth in truths],
        [list(meaning.slots) for meaning in meanings],
        OUT_OF_SCOPE,
    )
    # As in the metrics, a sentence out of scope has no slots.
    truths = [replace(m, slots={}) if m.intent == OUT_OF_SCOPE else m for m in truths]
    meanings = [replace(m, slots={}) if m.intent == OUT_OF_SCOPE else m for m in meanings]
    mistakes = _find_mistakes(truths, meanings)
    texts = _read_texts(split) if mistakes else []
    in_scope = [row for row, truth in enumerate(truths) if truth.intent != OUT_OF_SCOPE]
    sections = [
        *_mistakes_section(mistakes, texts, truths, meanings),
        *slot_sections([truths[row] for row in in_scope], [meanings[row] for row in in_scope]),
        *_intent_sections(model, answers, OUT_OF_SCOPE),
    ]
    errors = [_describe(row, texts[row], answers, truths, meanings) for row in mistakes]
    return Evaluation(metrics, sections, errors)


def validate(model: "keras.Model", validation: "Batches") -> dict[str, float]:
    """Metrics of a model in training, before any threshold.

    Returns:
        `intent_accuracy`, `slot_f1` and `sentence_accuracy` over all validation sentences.
    """
    from apps.nlu.model import decode_tags

    gold_intents, intents, gold_tags, tags = [], [], [], []
    for inputs, targets in validation.epoch():
        outputs = model.predict_on_batch(inputs)
        gold_intents += np.argmax(targets["intent"], axis=-1).astype(str).tolist()
        intents += np.argmax(outputs["intent"], axis=-1).astype(str).tolist()
        names = model.get_layer("slots").tags
        gold_tags += [[names[index] for index in row if index >= 0] for row in targets["slots"]]
        tags += decode_tags(model, inputs, outputs)
    return understanding_metrics(
        gold_intents, intents, list(map(bio_spans, gold_tags)), list(map(bio_spans, tags))
    )


def _read_truths(intents: Sequence[str], annotations: Mapping[str, np.ndarray]) -> list[Meaning]:
    slots = _read_slots(annotations, np.ones(annotations["slot_starts"].shape))
    return [Meaning(intent, 1.0, found) for intent, found in zip(intents, slots, strict=True)]


def _read_meanings(outputs: Mapping[str, np.ndarray]) -> list[Meaning]:
    slots = _read_slots(outputs, outputs["slot_scores"])
    rows = zip(outputs["intent"], outputs["intent_score"], slots, strict=True)
    return [Meaning(_text(intent), float(score), found) for intent, score, found in rows]


def _read_slots(columns: Mapping[str, np.ndarray], scores: np.ndarray) -> list[dict[Span, float]]:
    """The slots of each sentence as an annotation or an answer holds them."""
    names = (columns[name] for name in ("slot_names", "slot_starts", "slot_ends"))
    return [
        {
            (_text(name), int(start), int(end)): float(score)
            for name, start, end, score in zip(*row, strict=True)
            if name
        }
        for row in zip(*names, scores, strict=True)
    ]


def _read_texts(split: Split) -> list[str]:
    batches = split.read(None).batch(1024).as_numpy_iterator()
    return [_text(text) for batch in batches for text in batch["input"]]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _find_mistakes(truths: Sequence[Meaning], meanings: Sequence[Meaning]) -> list[int]:
    """The sentences that are not understood in full, the most confident answers first."""
    rows = range(len(truths))
    wrong = [row for row in rows if not meanings[row].equals(truths[row])]
    return sorted(wrong, key=lambda row: -meanings[row].confidence)


def _describe(
    row: int,
    text: str,
    answers: Answers,
    truths: Sequence[Meaning],
    meanings: Sequence[Meaning],
) -> dict[str, Any]:
    truth, meaning = truths[row], meanings[row]
    return {
        "id": answers.ids[row],
        "text": text,
        "intent": truth.intent,
        "predicted": meaning.intent,
        "score": round(meaning.score, 6),
        "slots": [_describe_slot(text, span) for span in truth.slots],
        "predicted_slots": [
            _describe_slot(text, span) | {"score": round(score, 6)}
            for span, score in meaning.slots.items()
        ],
        "error": _text(answers.outputs["error"][row]),
    }


def _describe_slot(text: str, span: Span) -> dict[str, Any]:
    name, start, end = span
    return {"name": name, "value": text[start:end], "start": start, "end": end}


def _mistakes_section(
    mistakes: Sequence[int],
    texts: Sequence[str],
    truths: Sequence[Meaning],
    meanings: Sequence[Meaning],
) -> list[Section]:
    if not mistakes:
        return []
    tables = [align(texts[row], truths[row], meanings[row]) for row in mistakes[:SHOWN_MISTAKES]]
    text = f"{len(mistakes):,} of {len(truths):,} sentences are not understood in full, intent "
    text += "and slots. These are the most confident answers; errors.jsonl has all."
    return [Section("Worst mistakes", text, tables=tables)]


def _intent_sections(model: "ServedModel", answers: Answers, out_of_scope: str) -> list[Section]:
    """The sections of a classifier, and that of the threshold, over sentences with an answer."""
    answered = answers.outputs["error"] == b""
    if not answered.any():
        return []
    probabilities, labels = answers.outputs["probabilities"][answered], answers.labels[answered]
    before = uncalibrated(probabilities, model.calibration["temperature"])
    classes, confusion, calibration = classification_sections(
        model.labels, before, probabilities, labels
    )
    note = " Here and in the next two parts, answers are the most probable intents, unrejected."
    sections = [
        replace(classes, title="Intents", text=classes.text + note),
        replace(confusion, title="Confusion of intents"),
        replace(calibration, title="Calibration of intents"),
    ]
    if out_of_scope in model.labels:
        scores = answers.outputs["out_of_scope_score"][answered]
        outside = labels == model.labels.index(out_of_scope)
        threshold = model.calibration["out_of_scope_threshold"]
        sections.append(rejection_section(scores, outside, threshold))
    return sections


if __name__ == "__main__":
    evaluate_main("nlu", build_app, __doc__)
