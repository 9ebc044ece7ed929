"""Evaluates an exported model for intents and slots: `python -m apps.nlu.evaluate --help`."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.nlu.train import build_app
from shared.metrics import bio_spans, understanding_metrics
from shared.training.app import Evaluation, Split
from shared.training.evaluation import Answers, answer_split, evaluate_main

if TYPE_CHECKING:
    import keras

    from shared.export.saved_model import ServedModel
    from shared.training.batching import Batches

Span = tuple[str, int, int]


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
    answers = answer_split(model, split, "text")
    gold = [model.labels[label] for label in answers.labels]
    intents = _texts(answers.outputs["intent"])
    gold_slots = _spans(split.annotations)
    slots = _spans(answers.outputs)
    metrics = understanding_metrics(gold, intents, gold_slots, slots, "out_of_scope")
    return Evaluation(metrics, [], [])


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


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _spans(columns: Mapping[str, np.ndarray]) -> list[list[Span]]:
    """The slots of each sentence as an annotation or an answer holds them."""
    rows = zip(
        columns["slot_names"], columns["slot_starts"], columns["slot_ends"], strict=True
    )
    return [
        [
            (name.decode("utf-8", "replace"), int(start), int(end))
            for name, start, end in zip(*row, strict=True)
            if name
        ]
        for row in rows
    ]


if __name__ == "__main__":
    evaluate_main("nlu", build_app, __doc__)
