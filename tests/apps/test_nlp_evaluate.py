import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import apps
import data
from apps.nlp.config import QUICK, Config, TextConfig
from apps.nlp.dataset import load
from apps.nlp.evaluate import SHOWN_CHARACTERS, baseline, evaluate, validate
from apps.nlp.export import build_signatures
from apps.nlp.model import build_loss
from apps.nlp.train import build_app
from data.texts import Text, group_texts
from shared.export.saved_model import ServedModel
from shared.metrics import label_set_metrics
from shared.training.app import Evaluation, Split, Trained
from shared.training.evaluation import evaluate_main, relabel
from shared.training.report import Report, write_report

ROOT = Path(apps.__file__).parents[1]
LABELS = ("a", "b", "c")
WORDS = "the sea is blue and long"
RIGHT = [
    Text("the lamp is superb", ("good",), where="1"),
    Text("what a dreadful radio this is", ("bad",), where="2"),
    Text("does the chair work in winter?", ("question",), where="3"),
]
WRONG = [
    Text("the chair is flawless", ("bad",), where="4"),
    Text("where is my lamp?", ("good",), where="5"),
]


def split_of(model: ServedModel, *texts: Text, several: bool = False) -> Split:
    labels, groups = group_texts(texts, several)
    return relabel(groups["train"], labels, model.labels)


def titles(evaluation: Evaluation) -> list[str]:
    return [section.title for section in evaluation.sections]


def test_right_answers_are_no_mistakes(nlp_model):
    evaluation = evaluate(nlp_model, split_of(nlp_model, *RIGHT))
    assert evaluation.errors == []
    assert evaluation.metrics["accuracy"] == 1
    assert "Worst mistakes" not in titles(evaluation)
    assert titles(evaluation)[-1] == "How the texts were read"


def test_mistakes_are_described_the_most_confident_first(nlp_model, tmp_path):
    evaluation = evaluate(nlp_model, split_of(nlp_model, *RIGHT, *WRONG))
    assert evaluation.metrics["accuracy"] == pytest.approx(3 / 5)
    outputs = nlp_model.predict(text=[text.text for text in WRONG])
    expected = [
        {
            "id": WRONG[row].where,
            "text": WRONG[row].text,
            "labels": list(WRONG[row].labels),
            "predicted": [outputs["label"][row].decode()],
            "score": pytest.approx(outputs["score"][row], abs=1e-5),
            "error": "",
        }
        for row in np.argsort(-outputs["score"])
    ]
    assert evaluation.errors == expected
    worst = evaluation.sections[0]
    assert worst.title == "Worst mistakes"
    assert [passage.text for passage in worst.passages] == [error["text"] for error in expected]
    praise = next(passage for passage in worst.passages if "flawless" in passage.text)
    assert praise.heading.startswith("answered good ") and praise.heading.endswith("expected bad")
    start, end, weight = max(praise.marks, key=lambda mark: mark[2])
    assert (praise.text[start:end], weight) == ("flawless", 1)
    write_report(Report("Test", "", [], evaluation.sections), tmp_path / "report.html")
    assert "flawless" in (tmp_path / "report.html").read_text()


def test_a_long_text_is_shown_to_its_limit(nlp_model):
    long = Text("the chair is flawless " * SHOWN_CHARACTERS, ("bad",), where="long")
    evaluation = evaluate(nlp_model, split_of(nlp_model, *RIGHT, long))
    (passage,) = evaluation.sections[0].passages
    assert passage.text == f"{long.text[:SHOWN_CHARACTERS]} …"
    assert evaluation.errors[0]["text"] == long.text


def test_a_text_without_answer_is_a_mistake(nlp_model):
    for label in ("bad", "good"):
        blank = Text("\u200b", (label,), where="blank")
        evaluation = evaluate(nlp_model, split_of(nlp_model, RIGHT[0], blank))
        (error,) = evaluation.errors
        assert (error["id"], error["predicted"], error["score"]) == ("blank", [], 0.0)
        assert error["error"] == "empty: the text has no words"
        assert evaluation.metrics["accuracy"] == 0.5
    rows = dict(evaluation.sections[-1].tables[0].rows)
    assert rows["texts without an answer"] == "50.00%"


@pytest.fixture(scope="module")
def several(random_nlp: Callable[..., Any]) -> ServedModel:
    """A model of random weights that gives any number of labels."""
    trained = random_nlp(*LABELS, words=WORDS, label_separator="|")
    return ServedModel(build_signatures(trained), LABELS, trained.calibration)


def test_several_labels_are_all_right_or_a_mistake(several, tmp_path):
    texts = ["the sea is blue", "long", "blue and long", "sea", "and and"]
    outputs = several.predict(text=texts)
    counts = outputs["num_labels"]
    found = [
        {name.decode() for name in row[:n]}
        for row, n in zip(outputs["labels"], counts, strict=True)
    ]
    sets = [*found[:3], set(LABELS) - found[3], found[4] ^ {"b"}]
    rows = [Text(text, tuple(sorted(s)), where=text) for text, s in zip(texts, sets, strict=True)]
    evaluation = evaluate(several, split_of(several, *rows, several=True))
    wrong = {error["id"]: error for error in evaluation.errors}
    assert wrong.keys() == {"sea", "and and"}
    assert set(wrong["sea"]["labels"]) == sets[3] and set(wrong["sea"]["predicted"]) == found[3]
    targets = np.array([[label in s for label in LABELS] for s in sets])
    expected = label_set_metrics(outputs["probabilities"], targets)
    assert evaluation.metrics == pytest.approx(expected, abs=1e-5)
    assert "Labels" in titles(evaluation)
    write_report(Report("Test", "", [], evaluation.sections), tmp_path / "report.html")


def test_data_with_fewer_labels_than_the_model(several, nlp_model):
    texts = (Text("the sea", ("c",)), Text("blue", ()), Text("long", ("a", "c")))
    split = split_of(several, *texts, several=True)
    np.testing.assert_array_equal(
        split.annotations["label_sets"], [[0, 0, 1], [0, 0, 0], [1, 0, 1]]
    )
    targets = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1]])
    probabilities = several.predict(text=[text.text for text in texts])["probabilities"]
    expected = label_set_metrics(probabilities, targets)
    assert evaluate(several, split).metrics == pytest.approx(expected, abs=1e-5)
    assert evaluate(nlp_model, split_of(nlp_model, RIGHT[0], RIGHT[2])).metrics["accuracy"] == 1


def test_a_language_model_is_measured_by_all_words_together(language_model):
    texts = ["the lamp is superb", "superb is lamp the", "\u200b", "where is my chair?"]
    labels, groups = group_texts([Text(text, where=text) for text in texts])
    evaluation = evaluate(language_model, relabel(groups["train"], labels, ()))
    outputs = language_model.predict(text=texts)
    words = 5 + 5 + 6  # Each with the end of its text.
    expected = np.exp(-outputs["log_likelihood"].sum() / words)
    assert evaluation.metrics == {"perplexity": pytest.approx(expected, rel=1e-4)}
    assert [error["id"] for error in evaluation.errors][0] == "superb is lamp the"
    assert evaluation.errors[-1]["error"] == "empty: the text has no words"
    assert titles(evaluation)[0] == "Most surprising texts"


@pytest.mark.parametrize("name", ["nlp_run", "language_model_run"])
def test_the_exported_model_has_the_metrics_of_the_training_run(
    name, request, monkeypatch, capsys, tmp_path
):
    finished = request.getfixturevalue(name)
    words = ("--data", finished.config.data, "--model", finished.model, "--output", tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate_main("nlp", build_app, "Evaluates.")
    result = json.loads(capsys.readouterr().out)
    assert result["test"] == pytest.approx(finished.result["test"], abs=1e-5)
    written = (tmp_path / "errors.jsonl").read_text()
    assert written == (finished.folder / "errors.jsonl").read_text()
    assert "How the texts were read" in (tmp_path / "report.html").read_text()


def test_help_needs_no_tensorflow():
    command = [sys.executable, "-X", "importtime", "-m", "apps.nlp.evaluate", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and "--split" in result.stdout
    assert "apps.nlp.train" in result.stderr  # the list of imports is there
    assert "tensorflow" not in result.stderr and "keras" not in result.stderr


class OneBatch:
    examples = 4

    def __init__(self, trained: Trained, targets: np.ndarray) -> None:
        self.inputs, _ = trained.preprocess(tf.constant(["the sea", "blue", "long", "is"]))
        self.targets = {"recurrent_logits": targets, "ngram_logits": targets}

    def epoch(self) -> list:
        return [(self.inputs, self.targets)]


@pytest.mark.parametrize("separator", ["", "|"])
def test_validation_counts_right_answers(random_nlp, separator):
    trained = random_nlp(*LABELS, words=WORDS, label_separator=separator)
    trained.model.compile(loss=build_loss(trained.config, trained.model))
    batch = OneBatch(trained, np.zeros((4, 3), np.float32))
    logits = sum(values.numpy() for values in trained.model(batch.inputs).values())
    right = np.eye(3)[logits.argmax(axis=1)] if not separator else (logits > 0).astype(float)
    right[1] = np.roll(right[1], 1)
    if separator:
        right[1] = 1 - (logits[1] > 0)
    batch = OneBatch(trained, right.astype(np.float32))
    assert validate(trained.model, batch) == {"accuracy": 0.75}


def write_table(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["text,label,split", *rows]))
    return str(path)


def test_the_baseline_is_logistic_regression_on_tf_idf(nlp_run):
    splits = load(nlp_run.config).splits
    texts, labels = {}, {}
    for name in ("train", "test"):
        examples = list(getattr(splits, name).read(None).as_numpy_iterator())
        texts[name] = [example["input"].decode() for example in examples]
        labels[name] = [example["label"] for example in examples]
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    linear = LogisticRegression(C=10, max_iter=200)
    linear.fit(features.fit_transform(texts["train"]), labels["train"])
    expected = linear.score(features.transform(texts["test"]), labels["test"])
    assert baseline(nlp_run.config, splits)["accuracy"] == pytest.approx(expected)
    stored = json.loads((nlp_run.folder / "metrics.json").read_text())["baseline"]
    assert stored["accuracy"] == pytest.approx(expected)


def load_table(path: Path, *rows: str, separator: str = "") -> tuple[Config, data.Splits]:
    text = TextConfig(label_separator=separator)
    config = replace(QUICK, data=write_table(path, *rows), text=text)
    return config, load(config).splits


def test_a_baseline_of_several_labels_and_of_one_that_may_be_missing(tmp_path):
    train = [f"sea and {word},a,train" for word in ("blue", "long", "wide")]
    train += [f"hill and {word},,train" for word in ("blue", "long", "wide")]
    rows = (*train, "sea,a,validation", "sea,a,test", "hill,,test")
    assert baseline(*load_table(tmp_path / "one.csv", *rows, separator="|"))["accuracy"] == 1
    more = (*rows, "hill and sea,a|b,train", "hill and a sea,b|a,train")
    metrics = baseline(*load_table(tmp_path / "two.csv", *more, separator="|"))
    assert metrics.keys() == {"accuracy", "micro_f1", "macro_f1", "loss"}


def test_without_words_to_count_there_is_no_baseline(tmp_path, language_model_run):
    rows = [
        f"{face},{label},{split}"
        for split, face, label in (
            ("train", "😀", "a"),
            ("train", "🙁", "b"),
            ("validation", "😃", "a"),
            ("test", "😞", "b"),
        )
    ]
    assert baseline(*load_table(tmp_path / "faces.csv", *rows)) == {}
    config = language_model_run.config
    assert baseline(config, load(config).splits) == {}
