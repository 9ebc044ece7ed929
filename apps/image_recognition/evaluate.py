"""Evaluates an exported image classifier: `python -m apps.image_recognition.evaluate --help`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.image_recognition.train import build_app
from shared.metrics import classification_metrics, uncalibrated
from shared.training.app import Evaluation, Split
from shared.training.evaluation import Answers, answer_split, evaluate_main
from shared.training.report import Picture, Section, classification_sections

if TYPE_CHECKING:
    from shared.export.saved_model import ServedModel

SHOWN_MISTAKES = 24


def evaluate(model: "ServedModel", split: Split) -> Evaluation:
    """Metrics, report sections and mistakes of a served model on one split.

    Args:
        model: In memory or reloaded.
        split: Image files with labels in the order of `model.labels`.

    Returns:
        Accuracy, top-k accuracy, macro F1, calibration error and loss, as fractions; the report's
        sections; every mistake, the most confident first.
    """
    answers = answer_split(model, split, "image_bytes")
    probabilities = answers.outputs["probabilities"]
    errors = _mistakes(model.labels, answers)
    sections = classification_sections(
        model.labels,
        uncalibrated(probabilities, model.calibration["temperature"]),
        probabilities,
        answers.labels,
    )
    shown = _mistakes_section(split, errors[:SHOWN_MISTAKES])
    return Evaluation(
        classification_metrics(probabilities, answers.labels), [*shown, *sections], errors
    )


def _mistakes(labels: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    probabilities = answers.outputs["probabilities"]
    predicted = np.argmax(probabilities, axis=-1)
    wrong = np.flatnonzero(predicted != answers.labels)
    worst_first = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    return [
        {
            "id": answers.ids[row],
            "label": labels[answers.labels[row]],
            "predicted": labels[predicted[row]],
            "score": round(float(probabilities[row, predicted[row]]), 6),
            "label_score": round(float(probabilities[row, answers.labels[row]]), 6),
        }
        for row in worst_first
    ]


def _mistakes_section(split: Split, errors: Sequence[dict[str, Any]]) -> list[Section]:
    if not errors:
        return []
    # Imported here, so that --help is answered without loading TensorFlow.
    from apps.image_recognition.preprocess import thumbnail

    wanted = {error["id"] for error in errors}
    files = {
        example["id"].decode("utf-8", "replace"): example["input"]
        for example in split.read(None).as_numpy_iterator()
        if example["id"].decode("utf-8", "replace") in wanted
    }
    gallery = [
        Picture(thumbnail(files[error["id"]]), error["predicted"], _picture_details(error))
        for error in errors
    ]
    return [Section("Worst mistakes", "The most confident wrong answers.", gallery=gallery)]


def _picture_details(error: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("true label", error["label"]),
        ("score", f"{error['score']:.1%}"),
        ("file", error["id"]),
    ]


if __name__ == "__main__":
    evaluate_main("image_recognition", build_app, __doc__)
