import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apps
from apps.image_recognition.predict import Prediction, predict
from shared.serving.client import RestModel, ServerError
from shared.serving.predict_main import predict_main

ROOT = Path(apps.__file__).parents[1]


@pytest.fixture(scope="module")
def samples(image_run) -> list[Path]:
    return sorted((image_run.folder / "samples").iterdir())


@pytest.fixture(scope="module")
def expected(image_model, samples) -> dict[str, np.ndarray]:
    return image_model.predict(image_bytes=[sample.read_bytes() for sample in samples])


@pytest.fixture
def broken(tmp_path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff no picture")
    return path


@pytest.fixture
def serve(image_model, serve_http):
    """Starts a server that answers with the fixture's model as TensorFlow Serving does."""

    def respond(path: str, body: dict) -> tuple[int, bytes]:
        if path != "/v1/models/image_recognition:predict":
            return 404, b'{"error": "Servable not found for request"}'
        assert list(body["inputs"]) == ["image_bytes"]
        files = [
            base64.b64decode(row["b64"], validate=True) for row in body["inputs"]["image_bytes"]
        ]
        outputs = image_model.predict(body["signature_name"], image_bytes=files)
        lists = {name: value.tolist() for name, value in outputs.items()}
        return 200, json.dumps({"outputs": lists}, default=bytes.decode).encode()

    return lambda: serve_http(respond)


def run_predict(*words: object, stdin: str = "", python: tuple[str, ...] = ()):
    command = [sys.executable, *python, "-m", "apps.image_recognition.predict", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True)


def test_predictions_are_the_answers_of_the_model(image_model, samples, expected):
    predictions = predict(samples, image_model)
    assert [prediction.input for prediction in predictions] == list(map(str, samples))
    assert [p.label.encode() for p in predictions] == expected["label"].tolist()
    assert [[label.encode() for label in p.labels] for p in predictions] == expected[
        "labels"
    ].tolist()
    np.testing.assert_allclose([p.scores for p in predictions], expected["scores"], atol=1e-5)
    np.testing.assert_allclose([p.score for p in predictions], expected["score"], atol=1e-5)
    assert [prediction.error for prediction in predictions] == [""] * len(samples)


def test_a_bad_file_has_its_own_error_and_the_others_their_answer(
    image_model, samples, broken, tmp_path
):
    files = [samples[0], tmp_path / "missing.png", broken, tmp_path, samples[1]]
    good, missing, damaged, folder, other = predict(files, image_model)
    for answer, alone in zip([good, other], predict(samples[:2], image_model), strict=True):
        assert (answer.label, answer.labels, answer.error) == (alone.label, alone.labels, "")
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-5)
    assert missing.error == "unreadable: No such file or directory"
    assert folder.error == "unreadable: Is a directory"
    assert damaged.error.startswith("corrupt: ")
    for bad in (missing, damaged, folder):
        assert bad.label == "" and bad.score == 0 and not any(bad.scores)


def test_a_server_gives_the_same_predictions(image_model, samples, broken, serve):
    model = RestModel(serve(), "image_recognition")
    files = [*samples, broken, "missing.png"]
    for remote, local in zip(predict(files, model), predict(files, image_model), strict=True):
        np.testing.assert_allclose(remote.scores, local.scores, atol=1e-5)
        assert (remote.input, remote.label, remote.labels, remote.error) == (
            local.input,
            local.label,
            local.labels,
            local.error,
        )


def test_an_error_of_the_server_is_raised(samples, serve):
    with pytest.raises(ServerError, match="status 404: Servable not found"):
        predict(samples, RestModel(serve(), "another_model"))


def test_the_text_of_a_prediction():
    answer = Prediction("a.png", "cat", 0.9, ("cat", "dog"), (0.9, 0.1), "")
    assert str(answer) == "a.png: cat 90.0%  (dog 10.0%)"
    only = Prediction("a.png", "cat", 1.0, ("cat",), (1.0,), "")
    assert str(only) == "a.png: cat 100.0%"
    failed = Prediction("a.png", "", 0.0, ("", ""), (0.0, 0.0), "empty: the file has no bytes")
    assert str(failed) == "a.png: error: empty: the file has no bytes"


def test_the_command_line_with_a_model(image_run, samples, expected, broken):
    words = ("--model", image_run.model.parent, "--json", samples[0], "missing.png", "-")
    result = run_predict(*words, stdin=f"{samples[1]}\n\n{broken}\n{samples[2]}")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1, result.stderr
    inputs = [str(samples[0]), "missing.png", str(samples[1]), str(broken), str(samples[2])]
    assert [line["input"] for line in lines] == inputs
    assert [line["error"].split(":")[0] for line in lines] == ["", "unreadable", "", "corrupt", ""]
    labels = [label.decode() for label in expected["label"]]
    assert [lines[row]["label"] for row in (0, 2, 4)] == labels[:3]
    assert lines[0].keys() == {"input", "label", "score", "labels", "scores", "error"}
    np.testing.assert_allclose(lines[4]["scores"], expected["scores"][2], atol=1e-5)
    assert "Traceback" not in result.stderr


def test_the_command_line_without_a_model(tmp_path, samples, monkeypatch, capsys):
    words = ["predict", "--model", tmp_path / "none", samples[0]]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as caught:
        predict_main("image_recognition", predict, "Predicts.")
    output = capsys.readouterr()
    assert caught.value.code == 2 and output.out == ""
    assert f"error: {tmp_path / 'none'} holds no exported model" in output.err


def test_the_command_line_asks_a_server_without_tensorflow(samples, expected, serve):
    files = [*samples, samples[0]]
    result = run_predict("--server", serve(), *files, python=("-X", "importtime"))
    assert result.returncode == 0, result.stderr[-2000:]
    labels = [label.decode() for label in (*expected["label"], expected["label"][0])]
    for line, file, label in zip(result.stdout.splitlines(), files, labels, strict=True):
        assert line.startswith(f"{file}: {label} ")
    assert "shared.serving.client" in result.stderr  # the list of imports is there
    for library in ("tensorflow", "keras"):
        assert library not in result.stderr


def test_the_command_line_reports_bad_files_in_text(samples, broken, serve):
    result = run_predict("--server", serve(), "missing.png", broken, samples[0])
    missing, damaged, good = result.stdout.splitlines()
    assert result.returncode == 1
    assert missing == "missing.png: error: unreadable: No such file or directory"
    assert damaged.startswith(f"{broken}: error: corrupt: ")
    assert good.startswith(f"{samples[0]}: ") and "error" not in good


def test_names_of_files_are_shown_as_they_are(serve):
    """Markup is not interpreted, and bytes that are no text are escaped."""
    words = ("--server", serve(), "[red]missing[/red] :smile:.png", b"caf\xe9.png")
    command = [sys.executable, "-m", "apps.image_recognition.predict", *words]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    error = "error: unreadable: No such file or directory"
    assert result.stdout.splitlines() == [
        f"[red]missing[/red] :smile:.png: {error}",
        f"caf\\udce9.png: {error}",
    ]
    assert result.returncode == 1


def test_without_files_their_names_are_read_from_standard_input(samples, serve):
    result = run_predict("--server", serve(), stdin=f"{samples[0]}\n")
    assert result.returncode == 0 and result.stdout.startswith(f"{samples[0]}: ")


def test_more_files_than_fit_in_one_batch(samples, serve):
    many = [samples[row % 4] for row in range(70)]
    result = run_predict("--server", serve(), "--json", "-", stdin="\n".join(map(str, many)))
    inputs = [json.loads(line)["input"] for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert inputs == list(map(str, many))


def test_no_server_is_explained(samples, serve_http):
    url = serve_http(lambda path, body: (503, b'{"error": "model is loading"}'))
    result = run_predict("--server", url, samples[0])
    assert result.returncode == 2 and result.stdout == ""
    assert "status 503: model is loading" in result.stderr
    assert "Traceback" not in result.stderr


@dataclass(frozen=True)
class Options:
    """How to answer."""

    loud: bool = False
    """Answer in capitals."""
    max_tokens: int = 50
    """Words that are added at most."""


def ask(
    monkeypatch: pytest.MonkeyPatch, *words: str, options: Options | None = None
) -> tuple[Any, list[tuple[Any, ...]]]:
    """The exit status of a predict script, and what each of its batches was asked with."""
    asked = []

    def answer(inputs: Sequence[str], model: RestModel, *chosen: Options) -> list[Prediction]:
        asked.append((inputs, *chosen))
        return [Prediction(name, "", 0.0, (), (), "") for name in inputs]

    monkeypatch.setattr(sys, "argv", ["predict", "--server", "http://localhost:1", *words])
    with pytest.raises(SystemExit) as caught:
        predict_main("nlp", answer, "Predicts.", options)
    return caught.value.code, asked


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), Options()),
        (("--loud",), Options(loud=True)),
        (("--max_tokens", "7", "--json"), Options(max_tokens=7)),
        (("--max-tokens", "7", "--loud"), Options(True, 7)),
    ],
)
def test_flags_of_an_app_reach_its_predict(monkeypatch, words, expected):
    assert ask(monkeypatch, *words, "a", "b", options=Options()) == (0, [(["a", "b"], expected)])
    assert ask(monkeypatch, "a", *words, options=Options()) == (0, [(["a"], expected)])


def test_without_flags_predict_gets_what_the_app_gave(monkeypatch):
    asked_with = Options(True, 9)
    assert ask(monkeypatch, "a", options=asked_with) == (0, [(["a"], asked_with)])
    assert ask(monkeypatch, "a") == (0, [(["a"],)])


def test_flags_that_an_app_does_not_have_are_refused(monkeypatch, capsys):
    assert ask(monkeypatch, "a", "--loud") == (2, [])
    assert "--loud" in capsys.readouterr().err
    assert ask(monkeypatch, "a", "--quiet", options=Options()) == (2, [])
    assert "--quiet" in capsys.readouterr().err
    assert ask(monkeypatch, "a", "--max_tokens", "many", options=Options()) == (2, [])
    assert "many" in capsys.readouterr().err


def test_help_has_the_flags_of_all_apps_and_of_this_one(monkeypatch, capsys):
    assert ask(monkeypatch, "--help", options=Options()) == (0, [])
    shown = capsys.readouterr().out
    for words in ("--server", "--interactive", "--loud", "--max_tokens", "Answer in capitals."):
        assert words in shown
    assert ask(monkeypatch, "--help") == (0, [])
    assert "--loud" not in capsys.readouterr().out
