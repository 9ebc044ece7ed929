import json
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.image_recognition.evaluate import evaluate
from apps.image_recognition.train import build_app
from data.digits import read_digits
from data.splits import from_bytes
from shared.metrics import uncalibrated
from shared.training.config import ConfigError
from shared.training.evaluation import answer_split, evaluate_main, relabel


@pytest.fixture
def run_evaluate(image_run, monkeypatch, capsys, tmp_path):
    """Runs the script's main function and gives what it prints on standard output."""

    def run(*words: object) -> dict:
        flags = ["--model", image_run.saved_models / "image_recognition"]
        flags += ["--output", tmp_path / "report"]
        monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, (*flags, *words))])
        evaluate_main("image_recognition", build_app, "Evaluates.")
        return json.loads(capsys.readouterr().out)

    return run


def digits_of(*classes: str, count: int = 6) -> dict[str, list[bytes]]:
    """The first pictures of some classes."""
    split = read_digits()
    files = [example["input"] for example in split.read(None).take(200).as_numpy_iterator()]
    rows = {name: np.flatnonzero(split.labels[:200] == int(name))[:count] for name in classes}
    return {name: [files[row] for row in chosen] for name, chosen in rows.items()}


def write_folder(root: Path, files: dict[str, list[bytes]]) -> Path:
    for label, contents in files.items():
        (root / label).mkdir(parents=True)
        for number, content in enumerate(contents):
            (root / label / f"{number}.png").write_bytes(content)
    return root


def test_the_exported_model_has_the_metrics_of_the_training_run(image_run, run_evaluate, tmp_path):
    result = run_evaluate("--data", "digits")
    assert result["app"] == "image_recognition" and result["model"] == str(image_run.model)
    assert result["test"] == pytest.approx(image_run.result["test"], abs=1e-5)
    written = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert written == {"test": result["test"]}
    errors = (tmp_path / "report" / "errors.jsonl").read_text().splitlines()
    expected = (image_run.folder / "errors.jsonl").read_text().splitlines()
    assert [json.loads(error)["id"] for error in errors] == [
        json.loads(error)["id"] for error in expected
    ]
    assert "Image recognition version 1" in (tmp_path / "report" / "report.html").read_text()


def test_a_folder_of_own_pictures_with_some_of_the_labels(
    image_model, run_evaluate, tmp_path, capsys
):
    """Label indices 0 and 1 of the folder are 3 and 7 of the model."""
    files = digits_of("3", "7")
    files["7"].append(files["3"][0])  # one that the model gets wrong
    folder = write_folder(tmp_path / "own", files)
    (folder / "3" / "broken.png").write_bytes(b"\x89PNG no picture")
    labels = np.repeat(["3", "7"], [len(files["3"]), len(files["7"])])
    answers = image_model.predict(image_bytes=files["3"] + files["7"])
    right = answers["label"].astype(str) == labels
    result = run_evaluate("--data", folder, "--split", "all")
    assert 0 < right.sum() < len(labels)
    assert result["all"]["accuracy"] == pytest.approx(right.mean())
    of_label = answers["probabilities"][np.arange(len(labels)), labels.astype(int)]
    assert result["all"]["loss"] == pytest.approx(-np.log(of_label).mean(), rel=1e-4)
    errors = map(json.loads, (tmp_path / "report" / "errors.jsonl").read_text().splitlines())
    mistakes = {(error["id"], error["label"], error["predicted"]) for error in errors}
    assert len(mistakes) == np.sum(~right)
    assert (str(folder / "7" / "6.png"), "7", answers["label"][len(files["3"]) + 6].decode()) in (
        mistakes
    )


def test_unknown_labels_are_refused_by_name(run_evaluate, tmp_path, capsys):
    files = digits_of("3", "7") | {"cat": digits_of("1")["1"]}
    folder = write_folder(tmp_path / "own", files)
    with pytest.raises(SystemExit) as caught:
        run_evaluate("--data", folder, "--split", "all")
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == "" and "does not know: ['cat']" in output.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--data", "no_such_data"), "no_such_data"),
        (("--data", "digits", "--model", "no/such/model"), "holds no exported model"),
    ],
)
def test_what_cannot_be_evaluated_is_explained(run_evaluate, capsys, words, expected):
    with pytest.raises(SystemExit) as caught:
        run_evaluate(*words)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_relabel_counts_as_the_model_does():
    split = from_bytes([b"a", b"b", b"c", b"d"], [0, 1, 2, 1], ["1", "2", "3", "4"])
    relabelled = relabel(split, ("x", "y", "z"), ("z", "w", "x", "y"))
    assert relabelled.size == 4
    assert relabelled.labels.tolist() == [2, 3, 0, 3]
    for seed in (None, 7):
        examples = relabelled.read(seed).as_numpy_iterator()
        assert {(e["input"], int(e["label"]), e["id"]) for e in examples} == {
            (b"a", 2, b"1"),
            (b"b", 3, b"2"),
            (b"c", 0, b"3"),
            (b"d", 3, b"4"),
        }
    stored = [e["input"] for e in relabelled.read(None).as_numpy_iterator()]
    assert stored == [b"a", b"b", b"c", b"d"]


def test_relabel_leaves_equal_labels_alone():
    split = from_bytes([b"a"], [0], ["1"])
    assert relabel(split, ("x", "y"), ("x", "y")) is split


def test_relabel_names_every_unknown_label():
    split = from_bytes([b"a"], [0], ["1"])
    with pytest.raises(ConfigError, match=r"\['u', 'v'\]\. The model knows \['x'\]"):
        relabel(split, ("v", "x", "u"), ("x",))


def test_answers_keep_the_order_of_the_examples(image_model):
    files = digits_of("0", "1", "2")
    contents = [content for group in files.values() for content in group] + [b"no picture"]
    labels = [int(label) for label, group in files.items() for _ in group] + [5]
    ids = [f"picture {row}" for row in range(len(contents))]
    answers = answer_split(image_model, from_bytes(contents, labels, ids), "image_bytes")
    assert answers.ids == ids
    np.testing.assert_array_equal(answers.labels, labels)
    direct = image_model.predict(image_bytes=contents)
    np.testing.assert_array_equal(answers.outputs["label"], direct["label"])
    assert answers.outputs["error"][-1].startswith(b"unsupported")


def test_more_examples_than_one_batch(image_model):
    files = digits_of("4", count=10)["4"]
    split = from_bytes(files * 30, [4] * 300, [str(row) for row in range(300)])
    answers = answer_split(image_model, split, "image_bytes")
    assert {value.shape[0] for value in answers.outputs.values()} == {300}
    np.testing.assert_allclose(answers.outputs["score"].reshape(30, 10).std(axis=0), 0, atol=1e-5)


def test_mistakes_are_listed_the_most_confident_first(image_model):
    files = digits_of("5", "6", count=5)
    split = from_bytes(files["5"] + files["6"], [6] * 5 + [5] * 5, [str(row) for row in range(10)])
    evaluation = evaluate(image_model, split)
    scores = [error["score"] for error in evaluation.errors]
    assert len(scores) > 0 and scores == sorted(scores, reverse=True)
    assert evaluation.metrics["accuracy"] == pytest.approx(1 - len(scores) / 10)
    assert evaluation.sections[0].title == "Worst mistakes"
    assert len(evaluation.sections[0].gallery) == len(scores)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_uncalibrated_undoes_the_temperature(temperature):
    logits = np.random.default_rng(0).normal(size=(20, 4)) * 3

    def softmax(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    calibrated = softmax(logits / temperature)
    np.testing.assert_allclose(uncalibrated(calibrated, temperature), softmax(logits), atol=1e-9)
