"""Evaluates an exported model of texts: `python -m apps.nlp.evaluate --help`."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.nlp.config import Config
from apps.nlp.predict import explain, predict
from apps.nlp.train import build_app
from shared.metrics import (
    classification_metrics,
    label_scores,
    label_set_metrics,
    uncalibrated,
)
from shared.training import plots
from shared.training.app import Evaluation, Split, Splits
from shared.training.evaluation import LABEL_SETS, Answers, answer_split, evaluate_main
from shared.training.report import Passage, Section, Table, classification_sections

if TYPE_CHECKING:
    import keras

    from shared.export.saved_model import ServedModel
    from shared.training.batching import Batches

SHOWN_MISTAKES = 15
SHOWN_CHARACTERS = 600
FAINTEST_MARK = 0.1
BASELINE_NGRAMS = (1, 2)
BASELINE_STRENGTH = 10.0
BASELINE_ITERATIONS = 200


def evaluate(model: "ServedModel", split: Split) -> Evaluation:
    """Metrics, report sections and mistakes of a served model on one split.

    Args:
        model: In memory or reloaded.
        split: Texts, for a classifier with labels in the order of `model.labels`.

    Returns:
        For a classifier, accuracy and the like as fractions, the report's sections and every
        mistake, the most confident first. For a language model, its perplexity, and the texts that
        surprise it most.
    """
    answers = answer_split(model, split, "text")
    reading = _reading_section(answers.outputs)
    if "perplexity" in answers.outputs:
        return _evaluate_language_model(answers, _read_texts(split), reading)
    return _evaluate_classifier(model, split, answers, reading)


def validate(model: "keras.Model", validation: "Batches") -> dict[str, float]:
    """Metrics of a model in training.

    Returns:
        `accuracy` of a classifier's outputs, added as they are, or `perplexity` of a language
        model, over all validation texts.
    """
    # Imported here, so that --help is answered without loading TensorFlow.
    import keras

    from apps.nlp.export import measure_perplexity

    if "next" in model.output_names:
        return measure_perplexity(model, validation)
    several = isinstance(model.loss["recurrent_logits"], keras.losses.BinaryCrossentropy)
    right = 0
    for inputs, targets in validation.epoch():
        logits = sum(model.predict_on_batch(inputs).values())
        wanted = np.asarray(targets["recurrent_logits"])
        if several:
            right += ((logits > 0) == (wanted > 0.5)).all(axis=1).sum()
        else:
            right += (logits.argmax(axis=1) == wanted.argmax(axis=1)).sum()
    return {"accuracy": float(right) / validation.examples}


def baseline(config: Config, splits: Splits) -> dict[str, float]:
    """Test accuracy of TF-IDF features with logistic regression, trained on the same texts.

    Words and pairs of words, weighted as by Salton and Buckley, 1988, and a linear classifier: what
    a network has to beat to be worth its cost.

    Returns:
        The metrics that `evaluate` gives; nothing for a language model, or where no word is in two
        texts.
    """
    if config.task == "language_model":
        return {}
    # Imported here, so that --help is answered at once.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    features = TfidfVectorizer(ngram_range=BASELINE_NGRAMS, sublinear_tf=True, min_df=2)
    linear = LogisticRegression(C=BASELINE_STRENGTH, max_iter=BASELINE_ITERATIONS)
    several = bool(config.text.label_separator)
    train, test = splits.train, splits.test
    try:
        known = features.fit_transform(_read_texts(train))
    except ValueError:  # There are no words to count.
        return {}
    asked = features.transform(_read_texts(test))
    if several:
        one_each = OneVsRestClassifier(linear).fit(known, train.annotations[LABEL_SETS])
        # Of a single label, scikit-learn gives the probability that it is missing, too.
        probabilities = one_each.predict_proba(asked)[:, -len(splits.labels) :]
        return label_set_metrics(probabilities, test.annotations[LABEL_SETS])
    linear.fit(known, train.labels)
    probabilities = np.zeros((test.size, len(splits.labels)))
    probabilities[:, linear.classes_] = linear.predict_proba(asked)
    return classification_metrics(probabilities, test.labels)


def _evaluate_classifier(
    model: "ServedModel", split: Split, answers: Answers, reading: Section
) -> Evaluation:
    answered = answers.outputs["error"] == b""
    probabilities = answers.outputs["probabilities"]
    if LABEL_SETS in split.annotations:
        targets = np.asarray(split.annotations[LABEL_SETS])
        wrong = np.flatnonzero(((probabilities >= 0.5) != (targets > 0.5)).any(axis=1))
        metrics = label_set_metrics(probabilities, targets)
        sections = [_label_scores_section(model.labels, probabilities, targets)]
    else:
        targets = np.eye(len(model.labels))[answers.labels]
        # A text without an answer is wrong: its label is the least likely one, by a little.
        unsure = 1 - 1e-3 * targets
        unsure /= unsure.sum(axis=1, keepdims=True)
        shown = np.where(answered[:, None], probabilities, unsure)
        wrong = np.flatnonzero(shown.argmax(axis=1) != answers.labels)
        metrics = classification_metrics(shown, answers.labels)
        before = uncalibrated(shown, 1 / sum(model.calibration.values()))
        sections = classification_sections(model.labels, before, shown, answers.labels)
    errors = _describe_mistakes(model, split, answers, targets, wrong)
    return Evaluation(metrics, [*_mistakes_section(model, errors), *sections, reading], errors)


def _describe_mistakes(
    model: "ServedModel", split: Split, answers: Answers, targets: np.ndarray, wrong: np.ndarray
) -> list[dict[str, Any]]:
    """The texts that are not answered rightly, the most confident answers first."""
    if not len(wrong):
        return []
    outputs, texts = answers.outputs, _read_texts(split)
    order = wrong[np.argsort(-outputs["score"][wrong], kind="stable")]
    return [
        {
            "id": answers.ids[row],
            "text": texts[row],
            "labels": [model.labels[index] for index in np.flatnonzero(targets[row] > 0.5)],
            "predicted": [
                name.decode() for name in outputs["labels"][row][: outputs["num_labels"][row]]
            ],
            "score": round(float(outputs["score"][row]), 6),
            "error": outputs["error"][row].decode(),
        }
        for row in order
    ]


def _mistakes_section(model: "ServedModel", errors: Sequence[Mapping[str, Any]]) -> list[Section]:
    if not errors:
        return []
    text = f"{len(errors):,} texts are answered wrongly. These are the most confident answers; "
    text += "errors.jsonl has all. Without a green word the answer would be less probable, without "
    text += "a red one more."
    passages = [_passage(model, error) for error in errors[:SHOWN_MISTAKES]]
    return [Section("Worst mistakes", text, passages=passages)]


def _passage(model: "ServedModel", error: Mapping[str, Any]) -> Passage:
    """The beginning of a text, with the words that carried the answer."""
    text = error["text"][:SHOWN_CHARACTERS]
    answered = ", ".join(error["predicted"]) or error["error"] or "none"
    heading = f"answered {answered} {error['score']:.1%}, expected {', '.join(error['labels'])}"
    words = explain(predict([text], model)[0], model)
    largest = max((abs(weight) for *_, weight in words), default=0.0) or 1.0
    marks = [(start, end, weight / largest) for start, end, weight in words]
    shown = text if text == error["text"] else f"{text} …"
    return Passage(heading, shown, [mark for mark in marks if abs(mark[2]) > FAINTEST_MARK])


def _label_scores_section(
    labels: Sequence[str], probabilities: np.ndarray, targets: np.ndarray
) -> Section:
    scores = label_scores(probabilities, targets, labels)
    rows = [(s.label, s.precision, s.recall, s.f1, s.support) for s in scores]
    return Section(
        "Labels",
        "A label is given from a probability of one half on. Precision is the share of right ones "
        "among the texts that were given it, recall the share of its texts that were found, F1 "
        "their harmonic mean.",
        figures=[plots.class_scores(scores)],
        tables=[Table(("label", "precision", "recall", "F1", "texts"), rows)],
    )


def _evaluate_language_model(
    answers: Answers, texts: Sequence[str], reading: Section
) -> Evaluation:
    outputs = answers.outputs
    good = outputs["error"] == b""
    # The words that were predicted, which truncation makes fewer than those of the texts.
    counts = outputs["log_likelihood"][good] / -np.log(outputs["perplexity"][good])
    order = np.argsort(-outputs["perplexity"], kind="stable")
    errors = [
        {
            "id": answers.ids[row],
            "text": texts[row],
            "perplexity": round(float(outputs["perplexity"][row]), 3),
            "error": outputs["error"][row].decode(),
        }
        for row in order
    ]
    rows = [
        (error["perplexity"], shorten(error["text"], SHOWN_CHARACTERS, placeholder=" …"))
        for error in errors[:SHOWN_MISTAKES]
    ]
    surprising = Section(
        "Most surprising texts",
        "Perplexity is how many words the model hesitates between, on average.",
        tables=[Table(("perplexity", "text"), rows)],
    )
    log_likelihood = outputs["log_likelihood"][good].sum()
    metrics = {"perplexity": float(np.exp(-log_likelihood / counts.sum()))}
    return Evaluation(metrics, [surprising, reading], errors)


def _reading_section(outputs: Mapping[str, np.ndarray]) -> Section:
    tokens, unknown = int(outputs["num_tokens"].sum()), int(outputs["num_unknown"].sum())
    rows = [
        ("tokens per text, median", f"{np.median(outputs['num_tokens']):,.0f}"),
        ("unknown words", f"{unknown / max(tokens, 1):.2%}"),
        ("truncated texts", f"{outputs['truncated'].mean():.2%}"),
        ("texts without an answer", f"{(outputs['error'] != b'').mean():.2%}"),
    ]
    return Section("How the texts were read", tables=[Table(("what", "value"), rows)])


def _read_texts(split: Split) -> list[str]:
    batches = split.read(None).batch(1024).as_numpy_iterator()
    return [text.decode("utf-8", "replace") for batch in batches for text in batch["input"]]


if __name__ == "__main__":
    evaluate_main("nlp", build_app, __doc__)
